//! Turns a model as it is published into a model directory.
//!
//! The result is what [`ModelDir::open`] accepts. A target appears whole or not at all, and is never overwritten.

mod block;
pub(crate) mod decoder;
mod encoder;
mod gguf;
mod model_files;
pub(crate) mod onnx;
mod onnx_directory;
mod safetensors;
mod source;
mod staging;
mod tokenizer_json;
pub(crate) mod weight;
mod weights;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::model_dir::{
    self, Architecture, FileRecord, MANIFEST_FILE, Manifest, ModelDir, ModelDirError, Quantization,
    Source, Tokens,
};
use decoder::{DATA_FILE, Decoder, GRAPH_FILE};
use gguf::GgufFile;
use model_files::ModelFiles;
use safetensors::SafetensorsFiles;
use source::Kind;
use staging::Staging;
use weights::Weights;

pub use decoder::{DecoderError, GraphError};
pub use encoder::{
    EncoderGraphError, EncoderImportError, EncoderWeightsError, encoder_source_files,
    import_encoder, is_encoder_source,
};
pub use gguf::{GgufError, MetadataError};
pub use model_files::ModelFilesError;
pub use onnx_directory::OnnxError;
pub use safetensors::SafetensorsError;
pub use source::source_digest;
pub use tokenizer_json::TokenizerError;
pub use weights::WeightsError;

/// Changes whenever the same source gives another model directory; part of the key of caches.
pub const IMPORTER_VERSION: u32 = 5;

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
        source: DecoderError,
    },
    /// The small files beside the weights are missing or contradict each other.
    #[error("failed to import the model in {}", path.display())]
    Files {
        /// The source.
        path: PathBuf,
        /// What is wrong.
        source: ModelFilesError,
    },
    /// Safetensors files are damaged, or use an unknown encoding.
    #[error("failed to read the weights in {}", path.display())]
    Weights {
        /// The source.
        path: PathBuf,
        /// What is wrong.
        source: SafetensorsError,
    },
    /// An ONNX graph is damaged, or no decoder that we can serve.
    #[error("failed to import the ONNX model in {}", path.display())]
    Onnx {
        /// The source.
        path: PathBuf,
        /// What is wrong.
        source: OnnxError,
    },
    /// A file of a directory was given instead of the directory.
    #[error("{} is one file of a model: give the directory that holds it, with config.json and tokenizer.json", path.display())]
    PartOfModel {
        /// The source.
        path: PathBuf,
    },
    /// The source is an import's result.
    #[error("{} is an imported model already: use it as it is", path.display())]
    Imported {
        /// The source.
        path: PathBuf,
    },
    /// The directory holds nothing that we know.
    #[error(
        "{} holds no model: it has neither model.safetensors nor model.safetensors.index.json, model.onnx or onnx/model.onnx",
        path.display()
    )]
    NoModel {
        /// The source.
        path: PathBuf,
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

/// Imports `source`, a GGUF file or a directory with `config.json` and safetensors files or an ONNX graph, into the
/// new directory `target`.
pub fn import_model(
    source: &Path,
    target: &Path,
    quantization: Quantization,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ModelDir, ImportError> {
    let staging = Staging::new(target).map_err(|error| target_error(target, error))?;
    let kind = Kind::of(source)?;
    let sha256 = source_digest(source, &mut |done, total| {
        progress(ImportProgress {
            step: ImportStep::Hashing,
            done,
            total,
        });
    })?;
    let mut import = Import {
        source,
        target,
        quantization,
        staging,
        progress,
    };
    let parts = match kind {
        Kind::Gguf => import.gguf(),
        Kind::Safetensors => import.safetensors(),
        Kind::Onnx => import.onnx(),
    }?;
    import.finish(parts, sha256)
}

struct Import<'a> {
    source: &'a Path,
    target: &'a Path,
    quantization: Quantization,
    staging: Staging,
    progress: &'a mut dyn FnMut(ImportProgress),
}

/// What a manifest is made of, once the graph is written.
struct Parts {
    name: String,
    architecture: Architecture,
    tokens: Tokens,
    chat_template: Option<String>,
    tokenizer: Vec<u8>,
    /// The graph's data files, with their digests where they are known.
    data: Vec<(String, Option<String>)>,
}

impl Import<'_> {
    fn gguf(&mut self) -> Result<Parts, ImportError> {
        let path = || self.source.to_owned();
        let file = File::open(self.source).map_err(|error| source_error(self.source, error))?;
        let mut gguf = GgufFile::open(file).map_err(|source| ImportError::Gguf {
            path: path(),
            source,
        })?;
        let tokenizer = tokenizer_json::import_tokenizer(gguf.metadata()).map_err(|source| {
            ImportError::Tokenizer {
                path: path(),
                source,
            }
        })?;
        let decoder =
            Decoder::from_gguf(gguf.metadata(), tokenizer.vocabulary_size).map_err(|source| {
                ImportError::Model {
                    path: path(),
                    source,
                }
            })?;
        let name = optional_text(&gguf, "general.name").unwrap_or_else(|| "model".to_owned());
        let chat_template = optional_text(&gguf, "tokenizer.chat_template");
        let data_sha256 = self.write_graph(&mut gguf, &decoder)?;
        Ok(Parts {
            name,
            architecture: decoder.architecture,
            tokens: Tokens {
                bos: tokenizer.bos,
                eos: tokenizer.eos,
            },
            chat_template,
            tokenizer: tokenizer.json.into_bytes(),
            data: vec![(DATA_FILE.to_owned(), Some(data_sha256))],
        })
    }

    fn safetensors(&mut self) -> Result<Parts, ImportError> {
        let path = || self.source.to_owned();
        let files = self.model_files()?;
        let decoder = Decoder::from_config(&files.config).map_err(|source| ImportError::Model {
            path: path(),
            source,
        })?;
        self.check_vocabulary(&files, decoder.architecture.vocabulary_size)?;
        let mut weights =
            SafetensorsFiles::open(self.source).map_err(|source| ImportError::Weights {
                path: path(),
                source,
            })?;
        let data_sha256 = self.write_graph(&mut weights, &decoder)?;
        let data = vec![(DATA_FILE.to_owned(), Some(data_sha256))];
        Ok(Parts::new(files, decoder.architecture, data))
    }

    fn onnx(&mut self) -> Result<Parts, ImportError> {
        let files = self.model_files()?;
        let onnx_error = |source| ImportError::Onnx {
            path: self.source.to_owned(),
            source,
        };
        let mut report = |done, total| {
            (self.progress)(ImportProgress {
                step: ImportStep::Converting,
                done,
                total,
            });
        };
        let converted = onnx_directory::convert(
            self.source,
            self.staging.path(),
            &files.config,
            self.quantization,
            &mut report,
        )
        .map_err(onnx_error)?;
        self.check_vocabulary(&files, converted.architecture.vocabulary_size)?;
        let data = converted.data_files.into_iter().map(|name| (name, None));
        Ok(Parts::new(files, converted.architecture, data.collect()))
    }

    fn model_files(&self) -> Result<ModelFiles, ImportError> {
        ModelFiles::read(self.source).map_err(|source| ImportError::Files {
            path: self.source.to_owned(),
            source,
        })
    }

    fn check_vocabulary(&self, files: &ModelFiles, size: usize) -> Result<(), ImportError> {
        let checked = files.check_vocabulary(self.source, size);
        checked.map_err(|source| ImportError::Files {
            path: self.source.to_owned(),
            source,
        })
    }

    /// Writes the graph and returns the SHA-256 of its data file.
    fn write_graph(
        &mut self,
        weights: &mut dyn Weights,
        decoder: &Decoder,
    ) -> Result<String, ImportError> {
        let total = weights
            .tensors()
            .iter()
            .map(|tensor| tensor.byte_length)
            .sum();
        let mut report = |done| {
            (self.progress)(ImportProgress {
                step: ImportStep::Converting,
                done,
                total,
            });
        };
        let directory = self.staging.path();
        let graph =
            decoder::write_graph(weights, decoder, self.quantization, directory, &mut report)
                .map_err(|error| ImportError::Graph {
                    path: self.source.to_owned(),
                    source: error,
                })?;
        decoder
            .refuse_unused(weights.tensors(), &graph.used_tensors)
            .map_err(|error| ImportError::Model {
                path: self.source.to_owned(),
                source: error,
            })?;
        Ok(graph.data_sha256)
    }

    fn finish(self, parts: Parts, sha256: String) -> Result<ModelDir, ImportError> {
        let Self {
            target,
            quantization,
            staging,
            ..
        } = self;
        let write = || -> io::Result<()> {
            staging.write(model_dir::TOKENIZER_FILE, &parts.tokenizer)?;
            let describe = |(name, sha256): (String, Option<String>)| -> io::Result<_> {
                let path = staging.path().join(&name);
                let record = match sha256 {
                    Some(sha256) => FileRecord {
                        bytes: path.metadata()?.len(),
                        sha256,
                    },
                    None => FileRecord::of(&path)?,
                };
                Ok((name, record))
            };
            let own = [GRAPH_FILE, model_dir::TOKENIZER_FILE].map(|name| (name.to_owned(), None));
            let files = parts.data.into_iter().chain(own).map(describe);
            let manifest = Manifest {
                format_version: model_dir::FORMAT_VERSION,
                name: parts.name,
                architecture: parts.architecture,
                tokens: parts.tokens,
                chat_template: parts.chat_template,
                quantization,
                quality: None,
                source: Source {
                    sha256,
                    importer_version: IMPORTER_VERSION,
                },
                files: files.collect::<io::Result<_>>()?,
            };
            staging.write(MANIFEST_FILE, manifest.to_json().as_bytes())
        };
        write().map_err(|error| target_error(target, error))?;
        staging
            .publish()
            .map_err(|error| target_error(target, error))?;
        Ok(ModelDir::open(target)?)
    }
}

impl Parts {
    fn new(
        files: ModelFiles,
        architecture: Architecture,
        data: Vec<(String, Option<String>)>,
    ) -> Self {
        Self {
            name: files.name,
            architecture,
            tokens: files.tokens,
            chat_template: files.chat_template,
            tokenizer: files.tokenizer,
            data,
        }
    }
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
