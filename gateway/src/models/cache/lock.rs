//! Waiting for a file that somebody else fetches.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CacheError, on_disk};

/// Locks of the file system tell nobody when they are free.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A place in the queue.
pub(super) struct Wait<'a> {
    pub(super) lock: PathBuf,
    /// What whoever has the lock writes to.
    pub(super) partial: &'a Path,
}

/// The right to fetch; it goes with the file, and with the process.
pub(super) struct Turn {
    _lock: File,
}

impl Wait<'_> {
    /// The right to fetch. Until then `progress` hears how far the other is.
    pub(super) async fn turn(
        &self,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Turn, CacheError> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.lock)
            .map_err(on_disk(&self.lock))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _lock: file }),
                Err(TryLockError::Error(error)) => return Err(on_disk(&self.lock)(error)),
                Err(TryLockError::WouldBlock) => {
                    if let Ok(metadata) = tokio::fs::metadata(self.partial).await {
                        progress(metadata.len());
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }
}
