//! Whether state can be kept: a small file is written, synced and removed in the state directory, again and again.
//!
//! Free space alone would not tell: volumes are remounted read-only, lose their permissions, or hang.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;

use super::Management;

/// Slow, since every try costs a sync; fast enough to leave the Service before much is lost.
const INTERVAL: Duration = Duration::from_secs(15);
/// A file system that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the last try said.
#[derive(Debug, Default)]
pub struct StoreState {
    /// Whether anybody tries at all.
    is_probed: AtomicBool,
    outcome: ArcSwapOption<Result<(), String>>,
}

impl StoreState {
    /// Whether it can be written, once it was tried.
    pub fn is_writable(&self) -> Option<bool> {
        self.outcome.load().as_deref().map(Result::is_ok)
    }

    /// What is wrong, and what to do.
    pub fn fault(&self) -> Option<String> {
        match self.outcome.load().as_deref() {
            Some(outcome) => outcome.as_ref().err().cloned(),
            None => self
                .is_probed
                .load(Ordering::Relaxed)
                .then(|| "the state directory has not been tried yet".to_owned()),
        }
    }

    fn set(&self, outcome: Result<(), String>) {
        let was_good = self.is_writable();
        match &outcome {
            Err(fault) if was_good != Some(false) => tracing::error!(fault, "state cannot be kept"),
            Ok(()) if was_good == Some(false) => tracing::info!("state can be kept again"),
            _ => {}
        }
        self.outcome.store(Some(Arc::new(outcome)));
    }
}

/// Tries the state directory.
#[derive(Clone, Debug)]
pub struct StoreProbe {
    directory: PathBuf,
    interval: Duration,
    patience: Duration,
}

impl StoreProbe {
    /// A probe of `directory`. From here on, `management` is not ready before the first try.
    pub fn new(directory: PathBuf, management: &Management) -> Self {
        management.store.is_probed.store(true, Ordering::Relaxed);
        Self {
            directory,
            interval: INTERVAL,
            patience: PATIENCE,
        }
    }

    /// Try once and remember the outcome.
    async fn run_once(&self, management: &Management) {
        let directory = self.directory.clone();
        let mut attempt = tokio::task::spawn_blocking(move || write_and_sync(&directory));
        let outcome = if let Ok(done) = tokio::time::timeout(self.patience, &mut attempt).await {
            done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
        } else {
            management
                .store
                .set(Err(self.fault(&std::io::ErrorKind::TimedOut.into())));
            // Another try beside one that hangs would hang as well, and take a thread more.
            let done = attempt.await;
            done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
        };
        let outcome = outcome.map_err(|error| self.fault(&error));
        management.store.set(outcome);
    }

    /// Try until `shutdown`.
    pub async fn follow(self, management: Arc<Management>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let round = async {
                ticks.tick().await;
                self.run_once(&management).await;
            };
            if shutdown.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    fn fault(&self, error: &std::io::Error) -> String {
        format!(
            "the state directory {} cannot be written ({error}); free some space, mount it writable, or choose \
             another with --state-dir",
            self.directory.display()
        )
    }
}

/// Nothing but a synced file proves it: a full or broken disk shows only then.
fn write_and_sync(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    // A name of its own for each try, and removed whatever happens: several gateways may share a directory.
    let mut file = tempfile::Builder::new()
        .prefix(".write-probe-")
        .tempfile_in(directory)?;
    file.write_all(b"may be deleted\n")?;
    file.as_file().sync_all()?;
    file.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(directory: PathBuf, management: &Management) -> StoreProbe {
        StoreProbe {
            interval: Duration::from_millis(5),
            ..StoreProbe::new(directory, management)
        }
    }

    #[tokio::test]
    async fn a_directory_that_takes_files_is_writable_and_left_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("state");
        let management = Management::default();
        let probe = probe(directory.clone(), &management);
        assert_eq!(management.store.is_writable(), None);
        assert!(management.store.fault().is_some(), "not tried yet");
        probe.run_once(&management).await;
        assert_eq!(management.store.is_writable(), Some(true));
        assert_eq!(management.store.fault(), None);
        assert_eq!(directory.read_dir().expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn a_store_that_fails_and_comes_back_is_noticed_both_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("state");
        std::fs::write(&directory, "a file in the way").expect("written");
        let management = Arc::new(Management::default());
        let probe = probe(directory.clone(), &management);
        probe.run_once(&management).await;
        let fault = management.store.fault().expect("a fault");
        assert!(fault.contains("--state-dir"), "{fault}");
        assert_eq!(super::super::Readiness::of(&management).reasons[0], fault);

        std::fs::remove_file(&directory).expect("removed");
        let shutdown = CancellationToken::new();
        let back = async {
            while management.store.is_writable() != Some(true) {
                tokio::task::yield_now().await;
            }
            shutdown.cancel();
        };
        let following = probe.follow(Arc::clone(&management), shutdown.clone());
        tokio::time::timeout(Duration::from_secs(30), async {
            tokio::join!(following, back)
        })
        .await
        .expect("noticed in time");
    }
}
