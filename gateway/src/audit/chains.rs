//! Which chain a process writes. Several gateways may share a state directory, and a chain has one writer.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";

/// A chain of our own, to the end of the process or of this value, whichever comes first.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) directory: PathBuf,
    /// The lock goes with the open file, also when the process is killed.
    _lock: File,
}

/// Take the first chain that nobody writes, or begin a new one.
pub(super) fn take(log: &Path) -> io::Result<Chain> {
    for number in 0_u32.. {
        let directory = log.join(format!("chain-{number}"));
        std::fs::create_dir_all(&directory)?;
        let lock = File::create(directory.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {
                return Ok(Chain {
                    directory,
                    _lock: lock,
                });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::QuotaExceeded.into())
}

/// Whether somebody writes the chain now.
pub(super) fn is_written(directory: &Path) -> bool {
    let lock = File::open(directory.join(LOCK)).map(|lock| lock.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// The chains of a log; the log itself where it is a single chain, e.g. a copy.
pub fn chain_directories(log: &Path) -> io::Result<Vec<PathBuf>> {
    let mut chains = Vec::new();
    let mut is_chain = false;
    for entry in std::fs::read_dir(log)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        is_chain |= name.ends_with(".jsonl");
        if name.starts_with("chain-") && entry.file_type()?.is_dir() {
            chains.push(entry.path());
        }
    }
    if is_chain {
        chains.push(log.to_owned());
    }
    chains.sort();
    Ok(chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_one_writer_and_is_taken_over_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = take(folder.path()).expect("a chain");
        let second = take(folder.path()).expect("a chain");
        assert!(first.directory.ends_with("chain-0") && second.directory.ends_with("chain-1"));
        assert!(is_written(&first.directory));
        let directory = first.directory.clone();
        drop(first);
        assert!(!is_written(&directory));
        assert_eq!(take(folder.path()).expect("a chain").directory, directory);
        assert_eq!(chain_directories(folder.path()).expect("listed").len(), 2);
    }
}
