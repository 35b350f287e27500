//! A directory that appears whole or not at all.
//!
//! Files are written beside the target, made durable, and then renamed in one step. What a crash leaves behind is a
//! hidden directory without a manifest under its final name, which nothing loads.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// Others must be able to read a model: a container seldom runs as the user who imported it.
const MODE: u32 = 0o755;

/// A directory in the making. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Staging {
    directory: TempDir,
    target: PathBuf,
}

impl Staging {
    /// Starts a directory that will become `target`, which must not exist, or be empty.
    pub(super) fn new(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let parent = parent(target);
        fs::create_dir_all(parent)?;
        refuse_occupied(target)?;
        let prefix = format!(".{}.importing-", name.to_string_lossy());
        let directory = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent)?;
        Ok(Self {
            directory,
            target: target.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a small file and makes it durable.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        use io::Write as _;
        let mut file = File::create_new(self.path().join(name))?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Makes the directory appear under its final name.
    pub(super) fn publish(self) -> io::Result<()> {
        fs::set_permissions(self.path(), Permissions::from_mode(MODE))?;
        File::open(self.path())?.sync_all()?;
        fs::rename(self.path(), &self.target)?;
        // The directory lives on under its new name.
        drop(self.directory.keep());
        File::open(parent(&self.target))?.sync_all()
    }
}

fn parent(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn refuse_occupied(target: &Path) -> io::Result<()> {
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_appears_before_it_is_published() {
        let parent = tempfile::tempdir().expect("a directory");
        let target = parent.path().join("model");
        let staging = Staging::new(&target).expect("started");
        staging.write("file", b"content").expect("written");
        assert!(!target.exists());
        staging.publish().expect("published");
        assert_eq!(fs::read(target.join("file")).expect("a file"), b"content");
        assert_eq!(
            fs::metadata(&target).expect("exists").permissions().mode() & 0o777,
            MODE
        );
    }

    #[test]
    fn an_abandoned_directory_is_removed() {
        let parent = tempfile::tempdir().expect("a directory");
        drop(Staging::new(&parent.path().join("model")).expect("started"));
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0);
    }

    #[test]
    fn an_existing_directory_is_not_overwritten() {
        let parent = tempfile::tempdir().expect("a directory");
        fs::write(parent.path().join("file"), b"precious").expect("written");
        let error = Staging::new(parent.path()).expect_err("occupied");
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
    }
}
