//! A directory with an encoder: what files it has, and whether they are what an import wrote.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Description, HubError, read_config, read_description};
use crate::{
    digest,
    model_dir::{FileRecord, GRAPH_FILE, Source, TOKENIZER_FILE},
};

/// The file that an import writes, which describes the others.
pub const MANIFEST_FILE: &str = "encoder.json";
/// The version of the layout that we write and read.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Where Optimum and sentence-transformers put a graph.
const GRAPHS: [&str; 2] = [GRAPH_FILE, "onnx/model.onnx"];
/// Files up to this size are compared by digest on every opening.
const ALWAYS_VERIFIED: u64 = 8 << 20;

/// Why a directory is no usable encoder.
#[derive(Debug, Error)]
pub enum EncoderDirError {
    /// A file cannot be read.
    #[error("failed to read {}; check the path, or import the model again", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The description is not what an import writes.
    #[error("{} is not a valid model description; import the model again", path.display())]
    Manifest {
        /// The description.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The description is of another version.
    #[error("{}: formatVersion is {found}, and this version of the software reads {FORMAT_VERSION}; import the model again", path.display())]
    Version {
        /// The description.
        path: PathBuf,
        /// The version it says.
        found: u32,
    },
    /// A file is not what it was when it was imported.
    #[error("{} is incomplete or damaged; import or copy the model again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The files of the hub describe nothing that we can run.
    #[error("failed to read the model's description")]
    Hub(#[from] HubError),
    /// There is a description, and no graph.
    #[error(
        "{} has neither model.onnx nor onnx/model.onnx: import it with `clawdbot model import`, or export it to ONNX with Optimum", path.display()
    )]
    NoGraph {
        /// The directory.
        path: PathBuf,
    },
}

/// The content of [`MANIFEST_FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncoderManifest {
    /// The version of this layout.
    pub format_version: u32,
    /// What the encoder computes.
    pub encoder: Description,
    /// Where the model came from.
    pub source: Source,
    /// The other files of the directory.
    pub files: BTreeMap<String, FileRecord>,
}

/// A directory whose files are there.
#[derive(Debug, Clone)]
pub struct EncoderDir {
    description: Description,
    graph: PathBuf,
    tokenizer: PathBuf,
}

impl EncoderDir {
    /// Opens a directory that an import wrote, or one of Optimum's.
    pub fn open(path: &Path) -> Result<Self, EncoderDirError> {
        let manifest = path.join(MANIFEST_FILE);
        let (description, graph) = if manifest.exists() {
            let read = read_manifest(&manifest)?;
            check(path, &read.files)?;
            (read.encoder, path.join(GRAPH_FILE))
        } else {
            let config = read_config(path)?;
            let description = read_description(path, &config)?;
            let graph = GRAPHS.map(|graph| path.join(graph));
            let graph = graph.into_iter().find(|graph| graph.is_file());
            (
                description,
                graph.ok_or_else(|| EncoderDirError::NoGraph {
                    path: path.to_owned(),
                })?,
            )
        };
        Ok(Self {
            description,
            graph,
            tokenizer: path.join(TOKENIZER_FILE),
        })
    }

    /// What the encoder computes.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The graph's file.
    pub fn graph(&self) -> &Path {
        &self.graph
    }

    /// The tokenizer's file.
    pub fn tokenizer(&self) -> &Path {
        &self.tokenizer
    }
}

fn read_manifest(path: &Path) -> Result<EncoderManifest, EncoderDirError> {
    /// Lets a description of another version say so, before its fields are looked at.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        format_version: u32,
    }
    let text = fs::read(path).map_err(|source| unreadable(path, source))?;
    let malformed = |source| EncoderDirError::Manifest {
        path: path.to_owned(),
        source,
    };
    let version: Version = serde_json::from_slice(&text).map_err(malformed)?;
    if version.format_version != FORMAT_VERSION {
        return Err(EncoderDirError::Version {
            path: path.to_owned(),
            found: version.format_version,
        });
    }
    serde_json::from_slice(&text).map_err(malformed)
}

fn check(directory: &Path, files: &BTreeMap<String, FileRecord>) -> Result<(), EncoderDirError> {
    for (name, record) in files {
        let path = directory.join(name);
        let file = File::open(&path).map_err(|source| unreadable(&path, source))?;
        let found = file
            .metadata()
            .map_err(|source| unreadable(&path, source))?
            .len();
        let is_whole = found == record.bytes
            && (found > ALWAYS_VERIFIED
                || digest::sha256_of(file, |_| {}).map_err(|source| unreadable(&path, source))?
                    == record.sha256);
        if !is_whole {
            return Err(EncoderDirError::Damaged { path });
        }
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> EncoderDirError {
    EncoderDirError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::Head;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = BTreeMap::new();
        for name in [GRAPH_FILE, TOKENIZER_FILE] {
            let path = directory.path().join(name);
            fs::write(&path, name).expect("written");
            files.insert(name.to_owned(), FileRecord::of(&path).expect("readable"));
        }
        let manifest = EncoderManifest {
            format_version: FORMAT_VERSION,
            encoder: Description {
                name: "tiny".to_owned(),
                hidden_size: 8,
                vocabulary_size: 30,
                max_tokens: 64,
                first_position: 0,
                head: Head::Score,
            },
            source: Source {
                sha256: "00".repeat(32),
                importer_version: 1,
            },
            files,
        };
        let text = serde_json::to_string(&manifest).expect("serializes");
        fs::write(directory.path().join(MANIFEST_FILE), text).expect("written");
        directory
    }

    fn refused(directory: &tempfile::TempDir) -> String {
        EncoderDir::open(directory.path())
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn an_imported_directory_opens_while_its_files_are_whole() {
        let directory = directory();
        let opened = EncoderDir::open(directory.path()).expect("whole");
        assert_eq!(opened.description().name, "tiny");
        fs::write(directory.path().join(TOKENIZER_FILE), "tokenizer.JSON").expect("written");
        assert!(refused(&directory).contains("tokenizer.json is incomplete or damaged"));
        fs::remove_file(directory.path().join(GRAPH_FILE)).expect("removed");
        assert!(refused(&directory).contains("model.onnx"));
    }

    #[test]
    fn another_version_says_so() {
        let directory = directory();
        let path = directory.path().join(MANIFEST_FILE);
        fs::write(path, r#"{"formatVersion": 9, "new": 1}"#).expect("written");
        assert!(refused(&directory).contains("formatVersion is 9"));
    }

    #[test]
    fn a_directory_without_a_graph_says_what_is_missing() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(refused(&directory).contains("description"));
        let config = r#"{"model_type": "bert", "hidden_size": 8, "vocab_size": 30, "max_position_embeddings": 64}"#;
        fs::write(directory.path().join("config.json"), config).expect("written");
        assert!(refused(&directory).contains("onnx/model.onnx"));
    }
}
