//! One node a machine: the lock, and the directory that belongs to its holder.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{Error, file_error};

const LOCK: &str = "/run/lock/claw-node.lock";
/// On disk, since images are large; not below a directory that the node sees replaced.
const DIRECTORY: &str = "/var/tmp/claw-node";

/// The node's files; removed when dropped.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    // Released by the system, too, when the process ends in any way.
    _lock: File,
}

impl StateDirectory {
    /// Take the lock, and an empty directory: what a dead owner left is removed.
    pub(super) fn take() -> Result<Self, Error> {
        let (lock_path, path) = (Path::new(LOCK), PathBuf::from(DIRECTORY));
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock_path)
            .map_err(file_error(lock_path))?;
        if lock.try_lock().is_err() {
            let path = lock_path.to_owned();
            return Err(Error::Busy { path });
        }
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .map_err(file_error(&path))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // The next node removes what could not be removed now, and says so when it cannot.
        let _ = fs::remove_dir_all(&self.path);
    }
}
