//! Turns a model file into a model directory.
//!
//! The result is what [`ModelDir::open`] accepts. A target appears whole or not at all, and is never overwritten.

mod block;
mod gguf;
mod llama;
mod onnx;
mod staging;
mod tokenizer_json;
mod weight;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    digest,
    model_dir::{
        self, FileRecord, MANIFEST_FILE, Manifest, ModelDir, ModelDirError, Quantization, Source,
        Tokens,
    },
};
use gguf::GgufFile;
use llama::{DATA_FILE, GRAPH_FILE, Llama};
use staging::Staging;

pub use gguf::{GgufError, MetadataError};
pub use llama::{GraphError, LlamaError};
pub use tokenizer_json::TokenizerError;

/// Changes whenever the same source gives another model directory; part of the key of caches.
pub const IMPORTER_VERSION: u32 = 4;

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportStep {
    /// Computing the source's SHA-256.
    Hashing,
    /// Converting the weights.
    Converting,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// What is going on.
    pub step: ImportStep,
    /// Bytes of the source that this step has dealt with.
    pub done: u64,
    /// Bytes of the source that this step deals with in all.
    pub total: u64,
}

/// Why an import failed.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The source could not be opened or read.
    #[error("failed to read the model file {}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The source is no valid GGUF file, or uses an unknown encoding.
    #[error("failed to read {} as GGUF", path.display())]
    Gguf {
        /// The source.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// The source describes a model that we cannot run.
    #[error("failed to import the model in {}", path.display())]
    Model {
        /// The source.
        path: PathBuf,
        /// What is not supported, or impossible.
        source: LlamaError,
    },
    /// The source's tokenizer is unknown or broken.
    #[error("failed to import the tokenizer in {}", path.display())]
    Tokenizer {
        /// The source.
        path: PathBuf,
        /// What is not supported, or broken.
        source: TokenizerError,
    },
    /// A weight is missing or wrong, or the graph could not be written.
    #[error("failed to convert the weights of {}", path.display())]
    Graph {
        /// The source.
        path: PathBuf,
        /// What is wrong.
        source: GraphError,
    },
    /// The target is in use.
    #[error("the target {} exists and is not empty: remove it, or choose another", path.display())]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// The target could not be written.
    #[error("failed to write the model directory {}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The finished directory does not open.
    #[error("failed to open the imported model")]
    Open(#[from] ModelDirError),
}

/// Imports the GGUF file `source` into the new directory `target`.
pub fn import_gguf(
    source: &Path,
    target: &Path,
    quantization: Quantization,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ModelDir, ImportError> {
    let staging = Staging::new(target).map_err(|error| target_error(target, error))?;
    let sha256 = hash_source(source, progress)?;
    let gguf_error = |error| ImportError::Gguf {
        path: source.to_owned(),
        source: error,
    };
    let file = File::open(source).map_err(|error| source_error(source, error))?;
    let mut gguf = GgufFile::open(file).map_err(gguf_error)?;
    let tokenizer = tokenizer_json::import_tokenizer(gguf.metadata()).map_err(|error| {
        ImportError::Tokenizer {
            path: source.to_owned(),
            source: error,
        }
    })?;
    let model_error = |error| ImportError::Model {
        path: source.to_owned(),
        source: error,
    };
    let llama = Llama::read(gguf.metadata(), tokenizer.vocabulary_size).map_err(model_error)?;
    let name = optional_text(&gguf, "general.name").unwrap_or_else(|| "model".to_owned());
    let chat_template = optional_text(&gguf, "tokenizer.chat_template");

    let total = gguf.tensors().iter().map(|tensor| tensor.byte_length).sum();
    let mut report = |done| {
        progress(ImportProgress {
            step: ImportStep::Converting,
            done,
            total,
        });
    };
    let graph = llama::write_graph(&mut gguf, &llama, quantization, staging.path(), &mut report)
        .map_err(|error| ImportError::Graph {
            path: source.to_owned(),
            source: error,
        })?;
    Llama::refuse_unused(gguf.tensors(), &graph.used_tensors).map_err(model_error)?;

    let write = || -> io::Result<()> {
        staging.write(model_dir::TOKENIZER_FILE, tokenizer.json.as_bytes())?;
        let record = |name: &str| {
            FileRecord::of(&staging.path().join(name)).map(|record| (name.to_owned(), record))
        };
        let data = FileRecord {
            bytes: staging.path().join(DATA_FILE).metadata()?.len(),
            sha256: graph.data_sha256.clone(),
        };
        let files = [
            record(GRAPH_FILE)?,
            (DATA_FILE.to_owned(), data),
            record(model_dir::TOKENIZER_FILE)?,
        ];
        let manifest = Manifest {
            format_version: model_dir::FORMAT_VERSION,
            name,
            architecture: llama.architecture,
            tokens: Tokens {
                bos: tokenizer.bos,
                eos: tokenizer.eos,
            },
            chat_template,
            quantization,
            source: Source {
                sha256,
                importer_version: IMPORTER_VERSION,
            },
            files: files.into_iter().collect(),
        };
        staging.write(MANIFEST_FILE, manifest.to_json().as_bytes())
    };
    write().map_err(|error| target_error(target, error))?;
    staging
        .publish()
        .map_err(|error| target_error(target, error))?;
    Ok(ModelDir::open(target)?)
}

fn hash_source(
    source: &Path,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<String, ImportError> {
    let mut hash = || -> io::Result<String> {
        let file = File::open(source)?;
        let total = file.metadata()?.len();
        digest::sha256_of(file, |done| {
            progress(ImportProgress {
                step: ImportStep::Hashing,
                done,
                total,
            });
        })
    };
    hash().map_err(|error| source_error(source, error))
}

fn optional_text(gguf: &GgufFile<File>, key: &str) -> Option<String> {
    gguf.metadata()
        .optional_string(key)
        .ok()
        .flatten()
        .map(str::to_owned)
}

fn source_error(path: &Path, source: io::Error) -> ImportError {
    ImportError::Source {
        path: path.to_owned(),
        source,
    }
}

fn target_error(path: &Path, source: io::Error) -> ImportError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::DirectoryNotEmpty => ImportError::TargetExists { path },
        _ => ImportError::Target { path, source },
    }
}
