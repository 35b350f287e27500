//! What lies where.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::record::FileEntry;
use super::{CacheError, on_disk};
use crate::models::origin::{Origin, RemoteFile};

/// Folders and files of a cache.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) partials: PathBuf,
    pub(super) blobs: PathBuf,
    pub(super) names: PathBuf,
    pub(super) snapshots: PathBuf,
    pub(super) records: PathBuf,
    pub(super) imports: PathBuf,
}

/// What a file is called on its way: its SHA-256, or else something that changes with its version.
pub(super) fn key_of(origin: &dyn Origin, file: &RemoteFile) -> String {
    match &file.sha256 {
        Some(sha256) => sha256.clone(),
        None => digest_of([
            origin.identity().as_str(),
            file.version.as_str(),
            file.name.as_str(),
        ]),
    }
}

/// One name for several texts.
pub(super) fn digest_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.as_bytes());
        digest.update([0]);
    }
    hex::encode(digest.finalize())
}

impl Layout {
    pub(super) fn new(state_dir: &Path) -> Self {
        let root = state_dir.join("model-cache");
        Self {
            partials: root.join("partial"),
            blobs: root.join("blobs"),
            names: root.join("names"),
            snapshots: root.join("snapshots"),
            records: root.join("records"),
            imports: state_dir.join("models"),
        }
    }

    pub(super) fn create(&self) -> Result<(), CacheError> {
        let Self {
            partials,
            blobs,
            names,
            snapshots,
            records,
            imports,
        } = self;
        for folder in [partials, blobs, names, snapshots, records, imports] {
            fs::create_dir_all(folder).map_err(on_disk(folder))?;
        }
        Ok(())
    }

    pub(super) fn partial(&self, key: &str) -> PathBuf {
        self.partials.join(format!("{key}.part"))
    }

    pub(super) fn blob(&self, sha256: &str) -> PathBuf {
        self.blobs.join(sha256)
    }

    pub(super) fn snapshot(&self, sha256: &str) -> PathBuf {
        self.snapshots.join(sha256)
    }

    pub(super) fn snapshot_lock(&self, sha256: &str) -> PathBuf {
        self.snapshots.join(format!(".{sha256}.lock"))
    }

    pub(super) fn import_lock(&self, name: &str) -> PathBuf {
        self.imports.join(format!(".{name}.lock"))
    }

    pub(super) fn has_blob(&self, sha256: &str, size: u64) -> bool {
        is_file_of(&self.blob(sha256), size)
    }

    /// The blob of a file, where it is here.
    pub(super) fn found(&self, key: &str, file: &RemoteFile) -> Option<FileEntry> {
        let sha256 = match &file.sha256 {
            Some(sha256) => sha256.clone(),
            None => fs::read_to_string(self.names.join(key)).ok()?,
        };
        let size = fs::metadata(self.blob(&sha256)).ok()?.len();
        let fits = file.size.is_none_or(|expected| expected == size);
        fits.then(|| FileEntry {
            name: file.name.clone(),
            sha256,
            size,
        })
    }

    /// Give a whole file its name.
    pub(super) fn keep(
        &self,
        key: &str,
        partial: &Path,
        file: &RemoteFile,
        entry: &FileEntry,
    ) -> Result<(), CacheError> {
        let blob = self.blob(&entry.sha256);
        fs::rename(partial, &blob).map_err(on_disk(&blob))?;
        if file.sha256.is_none() {
            write_whole(&self.names.join(key), entry.sha256.as_bytes())?;
        }
        Ok(())
    }
}

pub(super) fn is_file_of(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

/// A small file, whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), CacheError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let written = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, content)?;
        file.persist(path).map_err(|error| error.error)
    };
    written().map(drop).map_err(on_disk(path))
}
