//! What an import is given: a file or a directory, and of which kind.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    ImportError,
    model_files::{self, CONFIG_FILE},
    onnx_directory,
    safetensors::{self, SafetensorsFiles},
};
use crate::{
    digest::{self, Hasher},
    model_dir::MANIFEST_FILE,
};

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A GGUF file.
    Gguf,
    /// A directory of the transformers library with safetensors files.
    Safetensors,
    /// A directory of the transformers library with an ONNX graph.
    Onnx,
}

impl Kind {
    /// Tells by the names of files only.
    pub(super) fn of(source: &Path) -> Result<Self, ImportError> {
        let metadata = source.metadata().map_err(|error| io_error(source, error))?;
        if !metadata.is_dir() {
            return match source.extension() {
                Some(extension) if extension == "safetensors" || extension == "onnx" => {
                    Err(ImportError::PartOfModel {
                        path: source.to_owned(),
                    })
                }
                _ => Ok(Self::Gguf),
            };
        }
        let has = |name: &str| source.join(name).is_file();
        if has(MANIFEST_FILE) {
            return Err(ImportError::Imported {
                path: source.to_owned(),
            });
        }
        // Where a model is published in both forms, we write the better graph.
        if has(safetensors::SINGLE_FILE) || has(safetensors::INDEX_FILE) {
            return Ok(Self::Safetensors);
        }
        match onnx_directory::find_graph(source) {
            Some(_) => Ok(Self::Onnx),
            None => Err(ImportError::NoModel {
                path: source.to_owned(),
            }),
        }
    }
}

/// The SHA-256 that names a source: a file's own, or of a list of a directory's files. `progress` learns the bytes
/// done and all bytes.
pub fn source_digest(
    source: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, ImportError> {
    let files = match Kind::of(source)? {
        Kind::Gguf => {
            let total = source
                .metadata()
                .map_err(|error| io_error(source, error))?
                .len();
            return hash(source, &mut |done| progress(done, total));
        }
        Kind::Safetensors => {
            SafetensorsFiles::names(source).map_err(|error| ImportError::Weights {
                path: source.to_owned(),
                source: error,
            })?
        }
        Kind::Onnx => onnx_directory::files(source).map_err(|error| ImportError::Onnx {
            path: source.to_owned(),
            source: error,
        })?,
    };
    let small = model_files::NAMES.map(str::to_owned).into_iter();
    let mut names: Vec<String> = small
        .filter(|name| name == CONFIG_FILE || source.join(name).is_file())
        .chain(files)
        .collect();
    names.sort_unstable();
    let paths: Vec<PathBuf> = names.iter().map(|name| source.join(name)).collect();
    let size = |path: &PathBuf| match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) => Err(io_error(path, error)),
    };
    let sizes: Vec<u64> = paths.iter().map(size).collect::<Result<_, _>>()?;
    let total = sizes.iter().sum();
    let (mut list, mut before) = (Hasher::new(), 0);
    for ((name, path), size) in names.iter().zip(&paths).zip(sizes) {
        let digest = hash(path, &mut |done| progress(before + done, total))?;
        list.update(format!("{digest}  {name}\n").as_bytes());
        before += size;
    }
    Ok(list.finish())
}

fn hash(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<String, ImportError> {
    let file = File::open(path).map_err(|error| io_error(path, error))?;
    digest::sha256_of(file, progress).map_err(|error| io_error(path, error))
}

fn io_error(path: &Path, source: io::Error) -> ImportError {
    ImportError::Source {
        path: path.to_owned(),
        source,
    }
}
