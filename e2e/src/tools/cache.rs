//! The user's cache: where fetched and built things are kept, shared by all checkouts of the project, and the lock
//! that keeps two builders apart.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither variable says where the user's files are.
    #[error("neither XDG_CACHE_HOME nor HOME is set: set one of them to a writable directory")]
    NoHome,
    /// A directory or file of the cache could not be made.
    #[error(
        "failed to write {path}: free some space, or set XDG_CACHE_HOME to a writable directory"
    )]
    Write {
        /// What was to be made.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// `<user cache>/claw/<name>`, made if need be.
pub fn directory(name: &str) -> Result<PathBuf, CacheError> {
    let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let path = base(variable("XDG_CACHE_HOME"), variable("HOME"))?.join(name);
    match std::fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(CacheError::Write { path, source }),
    }
}

/// As the XDG base directory specification says: a relative path is ignored.
fn base(cache: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, CacheError> {
    cache
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| Path::new(&home).join(".cache")))
        .map(|base| base.join("claw"))
        .ok_or(CacheError::NoHome)
}

/// Only one process builds at a time; the others wait here. Released when dropped, and by the system when the
/// process ends in any way.
pub(super) fn lock(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<File, CacheError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| CacheError::Write { path, source }
    };
    let path = directory.join(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed(&path))?;
    if file.try_lock().is_err() {
        progress("waiting for another build of the tests' programs");
        file.lock().map_err(failed(&path))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_follows_the_xdg_variable_when_it_is_absolute() {
        let of = |cache: Option<&str>, home: Option<&str>| {
            base(cache.map(Into::into), home.map(Into::into))
        };
        let under = |path| PathBuf::from(path);
        assert_eq!(of(Some("/c"), Some("/h")).expect("set"), under("/c/claw"));
        assert_eq!(
            of(Some("c"), Some("/h")).expect("set"),
            under("/h/.cache/claw")
        );
        assert!(matches!(of(None, None), Err(CacheError::NoHome)));
    }

    #[test]
    fn a_second_builder_waits_for_the_first() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = lock(directory.path(), &mut |_| {}).expect("free");
        let path = directory.path().to_owned();
        let (told, is_waiting) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            lock(&path, &mut |line| {
                told.send(line.to_owned()).expect("heard");
            })
            .map(drop)
        });
        let line = is_waiting.recv().expect("the second builder says so");
        assert!(line.contains("waiting"), "{line}");
        assert!(!second.is_finished());
        drop(first);
        second.join().expect("no panic").expect("locked in the end");
    }
}
