//! Something that is in use, and therefore stays.

use std::fs::{File, FileTimes};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::{CacheError, on_disk};

/// Keeps files from being deleted by any process, as long as it lives.
#[derive(Debug)]
pub struct Held {
    /// With a shared lock, which goes with it and with the process.
    _lock: File,
}

impl Held {
    /// Hold what this lock stands for, and note that it is used now.
    pub(super) fn take(lock: &Path) -> Result<Self, CacheError> {
        let taken = || {
            loop {
                let file = File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(lock)?;
                file.lock_shared()?;
                // Whoever deletes what it stands for deletes the lock, too.
                if !is_same(&file, lock) {
                    continue;
                }
                let times = FileTimes::new().set_modified(SystemTime::now());
                // Only the order of deletion depends on it.
                let _ = file.set_times(times);
                return Ok(file);
            }
        };
        taken()
            .map(|file| Self { _lock: file })
            .map_err(on_disk(lock))
    }
}

/// Whether the file is still the one of that name.
fn is_same(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (named.dev(), named.ino())
}
