//! How many connections are open at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// A connection in excess is not refused before this: others may just be leaving.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts connections against a limit that may change at any time.
#[derive(Clone)]
pub(super) struct ConnectionLimit {
    open: watch::Sender<u32>,
    metrics: Arc<Metrics>,
}

/// One counted connection.
pub(super) struct Permit {
    open: watch::Sender<u32>,
    metrics: Arc<Metrics>,
}

impl ConnectionLimit {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            open: watch::Sender::new(0),
            metrics,
        }
    }

    /// A place among at most `limit`, if one is or gets free.
    pub(super) async fn acquire(&self, limit: u32) -> Option<Permit> {
        let mut changes = self.open.subscribe();
        tokio::time::timeout(PATIENCE, async {
            loop {
                if self.try_count(limit) {
                    self.metrics.open_connections.inc();
                    return Permit {
                        open: self.open.clone(),
                        metrics: Arc::clone(&self.metrics),
                    };
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
        .await
        .ok()
    }

    fn try_count(&self, limit: u32) -> bool {
        self.open.send_if_modified(|open| {
            let has_place = *open < limit;
            *open += u32::from(has_place);
            has_place
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= 1);
        self.metrics.open_connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_in_excess_waits_and_then_is_refused() {
        let limit = ConnectionLimit::new(Arc::default());
        let first = limit.acquire(1).await.expect("a free place");
        assert!(limit.acquire(1).await.is_none());
        assert!(
            limit.acquire(2).await.is_some(),
            "a raised limit counts at once"
        );
        let waiting = limit.acquire(1);
        drop(first);
        assert!(waiting.await.is_some(), "a place that gets free is taken");
        assert_eq!(limit.metrics.open_connections.get(), 0);
    }
}
