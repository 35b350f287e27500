//! A model directory: what files it has, and whether they are what the import wrote.
//!
//! Opening compares every file's size, and the digests of the small ones; [`ModelDir::verify`] compares them all.

mod manifest;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{digest, quality::Quality};

pub use manifest::{
    Architecture, FORMAT_VERSION, FileRecord, Manifest, ManifestError, Quantization, Source, Tokens,
};

/// The file that describes the others.
pub const MANIFEST_FILE: &str = "model.json";
/// The tokenizer's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The graph's file.
pub const GRAPH_FILE: &str = "model.onnx";
/// Files up to this size are compared by digest on every opening.
const ALWAYS_VERIFIED: u64 = 8 << 20;

/// Why a directory is no usable model.
#[derive(Debug, Error)]
pub enum ModelDirError {
    /// A file cannot be read.
    #[error("failed to read {}; {}", path.display(), remedy(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The description cannot be changed.
    #[error("failed to write {}; make the directory writable", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The manifest is not what the import writes.
    #[error("{} is not a valid model description; import the model again", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A file has another size than when it was imported.
    #[error("{} has {found} bytes, and {expected} are expected: the copy is incomplete or damaged; import or download the model again", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// Its size when it was imported.
        expected: u64,
    },
    /// A file has other content than when it was imported.
    #[error("{} is damaged: its SHA-256 is not the one in {MANIFEST_FILE}; import or download the model again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// A directory whose files fit together.
#[derive(Debug, Clone)]
pub struct ModelDir {
    path: PathBuf,
    manifest: Manifest,
}

impl ModelDir {
    /// Opens a directory and checks it.
    pub fn open(path: &Path) -> Result<Self, ModelDirError> {
        let manifest_path = path.join(MANIFEST_FILE);
        let text = fs::read_to_string(&manifest_path)
            .map_err(|source| unreadable(&manifest_path, source))?;
        let manifest = Manifest::parse(&text).map_err(|source| ModelDirError::Manifest {
            path: manifest_path.clone(),
            source,
        })?;
        let directory = Self {
            path: path.to_owned(),
            manifest,
        };
        directory.check(|record| record.bytes <= ALWAYS_VERIFIED)?;
        Ok(directory)
    }

    /// Compares every file with its digest, which takes as long as reading it.
    pub fn verify(&self) -> Result<(), ModelDirError> {
        self.check(|_| true)
    }

    /// Writes what the model's quantization cost into its description.
    pub fn record_quality(&mut self, quality: Quality) -> Result<(), ModelDirError> {
        let path = self.path.join(MANIFEST_FILE);
        self.manifest.quality = Some(quality);
        let text = self.manifest.to_json();
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.as_file()
                .set_permissions(path.metadata()?.permissions())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| ModelDirError::Unwritable { path, source })
    }

    /// The description of the model.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The graph's file.
    pub fn graph(&self) -> PathBuf {
        self.path.join(GRAPH_FILE)
    }

    /// The tokenizer's file.
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join(TOKENIZER_FILE)
    }

    fn check(&self, by_digest: impl Fn(&FileRecord) -> bool) -> Result<(), ModelDirError> {
        for (name, record) in &self.manifest.files {
            let path = self.path.join(name);
            let file = File::open(&path).map_err(|source| unreadable(&path, source))?;
            let found = file
                .metadata()
                .map_err(|source| unreadable(&path, source))?
                .len();
            if found != record.bytes {
                return Err(ModelDirError::WrongSize {
                    path,
                    found,
                    expected: record.bytes,
                });
            }
            if by_digest(record) {
                let sha256 =
                    digest::sha256_of(file, |_| {}).map_err(|source| unreadable(&path, source))?;
                if sha256 != record.sha256 {
                    return Err(ModelDirError::Damaged { path });
                }
            }
        }
        Ok(())
    }
}

fn unreadable(path: &Path, source: io::Error) -> ModelDirError {
    ModelDirError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "check the path, or import the model with `clawdbot model import`"
        }
        io::ErrorKind::PermissionDenied => "give the user of this process the right to read it",
        _ => "check the disk, or import the model again",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = BTreeMap::new();
        for name in [GRAPH_FILE, TOKENIZER_FILE] {
            let path = directory.path().join(name);
            fs::write(&path, name).expect("written");
            files.insert(name.to_owned(), FileRecord::of(&path).expect("readable"));
        }
        let manifest = Manifest {
            files,
            ..manifest::example()
        };
        fs::write(directory.path().join(MANIFEST_FILE), manifest.to_json()).expect("written");
        directory
    }

    #[test]
    fn a_whole_directory_opens() {
        let directory = directory();
        let opened = ModelDir::open(directory.path()).expect("valid");
        opened.verify().expect("undamaged");
        assert_eq!(opened.manifest().name, "example");
    }

    #[test]
    fn a_missing_directory_names_the_path_and_the_remedy() {
        let message = ModelDir::open(Path::new("/nonexistent/model"))
            .expect_err("missing")
            .to_string();
        assert!(
            message.contains("/nonexistent/model/model.json"),
            "{message}"
        );
        assert!(message.contains("clawdbot model import"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = directory();
        fs::remove_file(directory.path().join(GRAPH_FILE)).expect("removed");
        let message = ModelDir::open(directory.path())
            .expect_err("incomplete")
            .to_string();
        assert!(message.contains("model.onnx"), "{message}");
    }

    #[test]
    fn a_truncated_file_is_named_with_both_sizes() {
        let directory = directory();
        fs::write(directory.path().join(GRAPH_FILE), "x").expect("written");
        let message = ModelDir::open(directory.path())
            .expect_err("truncated")
            .to_string();
        assert!(
            message.contains("model.onnx has 1 bytes, and 10 are expected"),
            "{message}"
        );
    }

    #[test]
    fn a_changed_file_of_the_same_size_is_found() {
        let directory = directory();
        fs::write(directory.path().join(TOKENIZER_FILE), "tokenizer.JSON").expect("written");
        let message = ModelDir::open(directory.path())
            .expect_err("damaged")
            .to_string();
        assert!(message.contains("tokenizer.json is damaged"), "{message}");
    }

    #[test]
    fn a_manifest_that_is_no_json_is_named() {
        let directory = directory();
        fs::write(directory.path().join(MANIFEST_FILE), "{").expect("written");
        let message = ModelDir::open(directory.path())
            .expect_err("no JSON")
            .to_string();
        assert!(
            message.contains("model.json is not a valid model description"),
            "{message}"
        );
    }
}
