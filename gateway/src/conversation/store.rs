//! Conversations by key: a bounded number, each forgotten when nobody writes for long, and used by one at a time.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{History, HistoryLimits};

/// How many conversations are remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// At most this many; the least used go first.
    pub conversations: u64,
    /// Forgotten when nothing was said for this long.
    pub idle: Duration,
    /// Bounds of each.
    pub history: HistoryLimits,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            conversations: 2000,
            idle: Duration::from_hours(24),
            history: HistoryLimits::default(),
        }
    }
}

/// Conversations by key.
pub struct Conversations<K> {
    cache: Cache<K, Arc<Mutex<History>>>,
    history: HistoryLimits,
}

impl<K: Hash + Eq + Send + Sync + 'static> Conversations<K> {
    /// An empty store.
    pub fn new(limits: StoreLimits) -> Self {
        let cache = Cache::builder()
            .max_capacity(limits.conversations)
            .time_to_idle(limits.idle)
            .build();
        Self {
            cache,
            history: limits.history,
        }
    }

    /// Enter a conversation, after everyone who entered before has left it.
    pub async fn enter(&self, key: K) -> OwnedMutexGuard<History> {
        let history = self
            .cache
            .get_with(key, || Arc::new(Mutex::new(History::new(self.history))));
        history.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn store(conversations: u64) -> Conversations<&'static str> {
        Conversations::new(StoreLimits {
            conversations,
            ..StoreLimits::default()
        })
    }

    #[tokio::test]
    async fn a_conversation_is_found_again_and_kept_apart_from_others() {
        let store = store(10);
        store.enter("ada").await.record("q".into(), "a".into());
        assert!(!store.enter("ada").await.is_empty());
        assert!(store.enter("bob").await.is_empty());
    }

    #[tokio::test]
    async fn one_at_a_time_is_inside() {
        let store = store(10);
        let inside = store.enter("ada").await;
        assert!(store.enter("ada").now_or_never().is_none());
        assert!(store.enter("bob").now_or_never().is_some());
        drop(inside);
        assert!(store.enter("ada").now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_number_of_conversations_is_bounded() {
        let store = store(2);
        for key in ["a", "b", "c", "d"] {
            store.enter(key).await.record("q".into(), "a".into());
        }
        store.cache.run_pending_tasks();
        assert!(store.cache.entry_count() <= 2);
    }
}
