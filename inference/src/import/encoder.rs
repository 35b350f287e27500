//! Turns a Hugging Face directory of a text encoder into one that [`EncoderDir`] opens.

mod graph;
mod weights;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{IMPORTER_VERSION, ImportProgress, ImportStep, staging::Staging};
use crate::{
    digest,
    encoder::{
        self, EncoderDir, EncoderDirError, EncoderManifest, HubError, MANIFEST_FILE, WEIGHTS_FILE,
    },
    model_dir::{FileRecord, GRAPH_FILE, Source, TOKENIZER_FILE},
};
pub use graph::EncoderGraphError;
pub use weights::EncoderWeightsError;
use weights::Weights;

/// The weights' file in a model directory.
const DATA_FILE: &str = "model.onnx.data";

/// Why an encoder was not imported.
#[derive(Debug, Error)]
pub enum EncoderImportError {
    /// The source describes a model that we cannot run.
    #[error("failed to read the description of the model in {}", path.display())]
    Description {
        /// The source.
        path: PathBuf,
        /// What is not supported, or missing.
        source: HubError,
    },
    /// A file of the source could not be read.
    #[error("failed to read {}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A weight is missing or wrong, or the graph could not be written.
    #[error("failed to convert the weights of {}", path.display())]
    Graph {
        /// The source.
        path: PathBuf,
        /// What is wrong.
        source: EncoderGraphError,
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
    Open(#[from] EncoderDirError),
}

/// Whether [`import_encoder`] has something to do where `has` says which files are there: weights, and no model that
/// loads as it is.
pub fn is_encoder_source(has: impl Fn(&str) -> bool) -> bool {
    let ready = [MANIFEST_FILE, GRAPH_FILE, "onnx/model.onnx"];
    has(WEIGHTS_FILE) && !ready.into_iter().any(has)
}

/// The files of a directory that [`import_encoder`] reads, those of them that are there; none where the directory holds
/// no weights to import, or a model that loads as it is.
pub fn encoder_source_files(directory: &Path) -> Option<Vec<PathBuf>> {
    if !is_encoder_source(|file| directory.join(file).is_file()) {
        return None;
    }
    let files = [
        WEIGHTS_FILE,
        TOKENIZER_FILE,
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ];
    let paths = files.into_iter().map(|file| directory.join(file));
    Some(paths.filter(|path| path.is_file()).collect())
}

/// Imports the encoder in the directory `source` into the new directory `target`, its weights as 32 bit floats.
///
/// BERT, RoBERTa and XLM-RoBERTa are known, as embedders and as rerankers. `progress` learns how far it is.
pub fn import_encoder(
    source: &Path,
    target: &Path,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<EncoderDir, EncoderImportError> {
    let description_error = |error| EncoderImportError::Description {
        path: source.to_owned(),
        source: error,
    };
    let config = encoder::read_config(source).map_err(description_error)?;
    config.family(source).map_err(description_error)?;
    let description = encoder::read_description(source, &config).map_err(description_error)?;
    let staging = Staging::new(target).map_err(|error| target_error(target, error))?;
    let weights = source.join(WEIGHTS_FILE);
    let sha256 = hash(&weights, progress)?;
    let tokenizer = source.join(TOKENIZER_FILE);
    let tokenizer = fs::read(&tokenizer).map_err(|error| source_error(&tokenizer, error))?;

    let graph_error = |error| EncoderImportError::Graph {
        path: source.to_owned(),
        source: error,
    };
    let data_sha256 = graph::write(source, &config, &description.head, staging.path(), progress)
        .map_err(graph_error)?;

    let write = || -> io::Result<()> {
        staging.write(TOKENIZER_FILE, &tokenizer)?;
        let record = |name: &str| {
            FileRecord::of(&staging.path().join(name)).map(|record| (name.to_owned(), record))
        };
        let data = FileRecord {
            bytes: staging.path().join(DATA_FILE).metadata()?.len(),
            sha256: data_sha256.clone(),
        };
        let files = [
            record(GRAPH_FILE)?,
            record(TOKENIZER_FILE)?,
            (DATA_FILE.to_owned(), data),
        ];
        let manifest = EncoderManifest {
            format_version: encoder::FORMAT_VERSION,
            encoder: description.clone(),
            source: Source {
                sha256: sha256.clone(),
                importer_version: IMPORTER_VERSION,
            },
            files: files.into_iter().collect(),
        };
        let text = serde_json::to_string_pretty(&manifest)?;
        staging.write(MANIFEST_FILE, text.as_bytes())
    };
    write().map_err(|error| target_error(target, error))?;
    staging
        .publish()
        .map_err(|error| target_error(target, error))?;
    Ok(EncoderDir::open(target)?)
}

fn hash(
    path: &Path,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<String, EncoderImportError> {
    let mut hash = || -> io::Result<String> {
        let file = fs::File::open(path)?;
        let total = file.metadata()?.len();
        digest::sha256_of(file, |done| {
            progress(ImportProgress {
                step: ImportStep::Hashing,
                done,
                total,
            });
        })
    };
    hash().map_err(|error| source_error(path, error))
}

fn source_error(path: &Path, source: io::Error) -> EncoderImportError {
    EncoderImportError::Source {
        path: path.to_owned(),
        source,
    }
}

fn target_error(path: &Path, source: io::Error) -> EncoderImportError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::DirectoryNotEmpty => EncoderImportError::TargetExists { path },
        _ => EncoderImportError::Target { path, source },
    }
}
