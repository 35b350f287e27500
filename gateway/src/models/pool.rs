//! The local models of a gateway: each loaded once, for as long as a configuration or a request holds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use claw_crds::gateway_config::SourceConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ModelSlot, SlotKey, SlotState, Workshop};
use crate::config::chain;

/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Shares models among configurations.
pub struct ModelPool {
    slots: Mutex<HashMap<SlotKey, Weak<ModelSlot>>>,
    workshop: Workshop,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl ModelPool {
    /// A pool whose loading runs as `tasks` and ends with `shutdown`.
    pub fn new(workshop: Workshop, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self {
            slots: Mutex::default(),
            workshop,
            tasks,
            shutdown,
        }
    }

    /// The slot of a model; a new one begins to load at once. Needs a runtime.
    pub fn acquire(&self, key: SlotKey) -> Arc<ModelSlot> {
        // A map of weak pointers is whole after every statement, so a panic elsewhere broke nothing.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Arc::new(ModelSlot::new(key.clone()));
        self.start_loading(&slot);
        slots.insert(key, Arc::downgrade(&slot));
        slot
    }

    fn start_loading(&self, slot: &Arc<ModelSlot>) {
        let (workshop, key, state) = (self.workshop.clone(), slot.key().clone(), slot.publisher());
        let (cancelled, shutdown) = (slot.cancelled(), self.shutdown.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                // Nobody wants it any more.
                () = cancelled.cancelled() => {}
                () = shutdown.cancelled() => {}
                () = load(&workshop, &key, &state) => {}
            }
        });
    }
}

async fn load(workshop: &Workshop, key: &SlotKey, state: &watch::Sender<SlotState>) {
    let mut attempts = 0;
    loop {
        match workshop.prepare(key, state).await {
            Ok(engine) => {
                let info = engine.info();
                tracing::info!(
                    source = shown(&key.model.source),
                    device = info.device,
                    reason = info.reason,
                    context_length = info.context_length,
                    "a model is ready"
                );
                state.send_replace(SlotState::Ready(engine, info));
                return;
            }
            Err(error) => {
                attempts += 1;
                let (error, retry_in) = (chain(&error), pause(attempts));
                tracing::error!(
                    source = shown(&key.model.source),
                    error,
                    attempts,
                    retry_in_s = retry_in.as_secs(),
                    "a model failed to load"
                );
                state.send_replace(SlotState::Failed {
                    error,
                    attempts,
                    retry_in,
                });
                tokio::time::sleep(retry_in).await;
            }
        }
    }
}

/// A source as logs show it.
fn shown(source: &SourceConfig) -> String {
    match source {
        SourceConfig::Path(path) => path.clone(),
        SourceConfig::Http { url, .. } => super::fetch::without_secrets(url),
    }
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::fake::{FakeLoader, key, workshop};

    fn pool(loader: &Arc<FakeLoader>, folder: &tempfile::TempDir) -> ModelPool {
        ModelPool::new(
            workshop(loader, folder.path()),
            TaskTracker::new(),
            CancellationToken::new(),
        )
    }

    async fn settled(slot: &ModelSlot) -> SlotState {
        let mut states = slot.subscribe();
        let wanted =
            |state: &SlotState| matches!(state, SlotState::Ready(..) | SlotState::Failed { .. });
        states
            .wait_for(wanted)
            .await
            .expect("the slot lives")
            .clone()
    }

    #[tokio::test]
    async fn equal_models_are_loaded_once_and_kept_while_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = Arc::new(FakeLoader::default());
        let pool = pool(&loader, &folder);
        let source = folder.path().join("model-directory");
        std::fs::create_dir(&source).expect("a directory");
        let first = pool.acquire(key(&source));
        let second = pool.acquire(key(&source));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(settled(&first).await.label(), "ready");
        assert_eq!(loader.loads(), 1);
        drop((first, second));
        let again = pool.acquire(key(&source));
        assert_eq!(settled(&again).await.label(), "ready");
        assert_eq!(loader.loads(), 2, "nothing held it, so it was dropped");
    }

    #[tokio::test]
    async fn a_file_is_imported_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = Arc::new(FakeLoader::default());
        let pool = pool(&loader, &folder);
        let source = folder.path().join("model.gguf");
        std::fs::write(&source, "weights").expect("a file");
        for _ in 0..2 {
            let slot = pool.acquire(key(&source));
            assert_eq!(settled(&slot).await.label(), "ready");
        }
        assert_eq!((loader.imports(), loader.loads()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_load_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = Arc::new(FakeLoader::default());
        let pool = pool(&loader, &folder);
        let source = folder.path().join("later");
        let slot = pool.acquire(key(&source));
        let SlotState::Failed {
            error, attempts: 1, ..
        } = settled(&slot).await
        else {
            panic!("no such file")
        };
        assert!(error.contains("later") && error.contains("GGUF"), "{error}");
        std::fs::create_dir(&source).expect("a directory");
        let mut states = slot.subscribe();
        states
            .wait_for(|state| state.label() == "ready")
            .await
            .expect("the second attempt succeeds");
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(
            [1, 2, 3, 40].map(|attempts| pause(attempts).as_secs()),
            [2, 4, 8, 300]
        );
    }
}
