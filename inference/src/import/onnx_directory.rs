//! Imports decoders that are ONNX graphs already, as Optimum and others export them.
//!
//! Such graphs take an attention mask and positions, and give the logits of every token. The engine runs one form of
//! graph only (docs/adr/0011-one-form-of-graph.md), so the graph gets a prologue and an epilogue that translate; its
//! operators and its weights stay as they are.

mod envelope;
mod interface;
mod serving;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use prost::{Message as _, bytes::Bytes};
use thiserror::Error;

use self::{
    envelope::{ModelEnvelope, NodeEnvelope, TensorHeader},
    interface::Interface,
};
use super::{
    decoder::{DecoderError, GRAPH_FILE, ModelConfig},
    onnx::{
        CONTRIB, STANDARD,
        message::{Attribute, EXTERNAL},
    },
};
use crate::model_dir::{Architecture, Quantization};

/// Where exporters put the graph of a whole decoder.
const PLACES: [&str; 4] = [
    "model.onnx",
    "onnx/model.onnx",
    "decoder_model_merged.onnx",
    "onnx/decoder_model_merged.onnx",
];
/// The first version of the operators that the translation is written in.
const OLDEST_OPERATORS: i64 = 13;

/// Why a graph cannot be served.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// A file could not be read or written.
    #[error("failed to read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no ONNX model.
    #[error("{} is no ONNX model, or is damaged: download it again", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Option<prost::DecodeError>,
    },
    /// Weights in a place where we do not look.
    #[error("the tensor {tensor} lies in {location:?}, which is no file beside the graph")]
    DataLocation {
        /// The tensor.
        tensor: String,
        /// The file.
        location: String,
    },
    /// A weights' file ends before a weight does.
    #[error(
        "{} is truncated: the tensor {tensor} ends at byte {end}, and the file has {length}; download it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the tensor ends.
        end: u64,
        /// The size of the file.
        length: u64,
    },
    /// Operators of a time before those that we add.
    #[error(
        "the graph uses version {found} of the ONNX operators, and {OLDEST_OPERATORS} is the oldest supported: export the model again"
    )]
    OldOperators {
        /// The version.
        found: i64,
    },
    /// An input that nothing would feed.
    #[error("the graph's input {name:?} is unknown: {remedy}")]
    UnknownInput {
        /// The input.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Something that a decoder with a cache has.
    #[error(
        "the graph has no {what}: export the model with its cache, as `optimum-cli export onnx --task text-generation-with-past` does"
    )]
    Missing {
        /// The input or output.
        what: String,
    },
    /// An input or output of another type or shape than it should have.
    #[error("the graph's {name} is {found}, where {expected} is expected: {remedy}")]
    WrongType {
        /// The input or output.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A cache that is used in another way than exporters use it.
    #[error("the graph uses {name} in a way that is not supported: {problem}")]
    Cache {
        /// The input or output.
        name: String,
        /// What is unusual.
        problem: &'static str,
    },
    /// A graph's weights are kept as they are.
    #[error(
        "the graph's weights are stored as {found}, and {wanted} is wanted: an ONNX graph is served as it is, so set the quantization {found}, or import the model from safetensors or GGUF"
    )]
    WrongQuantization {
        /// How they are stored.
        found: Quantization,
        /// How they should be.
        wanted: Quantization,
    },
    /// `config.json` lacks numbers.
    #[error("the model's description is incomplete")]
    Config(#[from] DecoderError),
}

/// What a conversion has written.
#[derive(Debug)]
pub(super) struct Converted {
    pub(super) architecture: Architecture,
    /// The files of weights.
    pub(super) data_files: Vec<String>,
}

/// The graph's path within a directory.
pub(super) fn find_graph(directory: &Path) -> Option<&'static str> {
    PLACES
        .into_iter()
        .find(|place| directory.join(place).is_file())
}

/// The graph and its weights, by their paths within `directory`.
pub(super) fn files(directory: &Path) -> Result<Vec<String>, OnnxError> {
    let graph = find_graph(directory).expect("the kind of directory was told by its graph");
    let (folder, _) = graph.rsplit_once('/').unwrap_or_default();
    let model = read(&directory.join(graph))?;
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let data = data_files(&model, &directory.join(folder))?;
    let data = data.into_iter().map(|name| format!("{prefix}{name}"));
    Ok(std::iter::once(graph.to_owned()).chain(data).collect())
}

/// Writes the graph in the form that the engine runs, with its weights, into `target`. `progress` learns the bytes of
/// weights done and in all.
pub(super) fn convert(
    directory: &Path,
    target: &Path,
    config: &ModelConfig,
    wanted: Quantization,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Converted, OnnxError> {
    let place = find_graph(directory).expect("the kind of directory was told by its graph");
    let path = directory.join(place);
    let mut model = read(&path)?;
    check_operators(&model)?;
    let found = stored_as(&model, &path)?;
    if found != wanted {
        return Err(OnnxError::WrongQuantization { found, wanted });
    }
    let interface = Interface::of(&model.graph)?;
    let architecture = interface.architecture(config)?;
    let folder = path.parent().unwrap_or(directory);
    let data_files = data_files(&model, folder)?;
    serving::rewrite(&mut model.graph, &interface, &path)?;
    write(&target.join(GRAPH_FILE), &model)?;
    copy_data(folder, target, &data_files, progress)?;
    Ok(Converted {
        architecture,
        data_files,
    })
}

fn read(path: &Path) -> Result<ModelEnvelope, OnnxError> {
    let content = fs::read(path).map_err(|source| io_error(path, source))?;
    let model =
        ModelEnvelope::decode(Bytes::from(content)).map_err(|error| OnnxError::Invalid {
            path: path.to_owned(),
            source: Some(error),
        })?;
    if model.graph.nodes.is_empty() {
        return Err(OnnxError::Invalid {
            path: path.to_owned(),
            source: None,
        });
    }
    Ok(model)
}

fn write(path: &Path, model: &ModelEnvelope) -> Result<(), OnnxError> {
    use io::Write as _;
    let write = || {
        let mut file = fs::File::create_new(path)?;
        file.write_all(&model.encode_to_vec())?;
        file.sync_all()
    };
    write().map_err(|source| io_error(path, source))
}

/// The files of weights beside the graph, each long enough for what it should hold.
fn data_files(model: &ModelEnvelope, folder: &Path) -> Result<Vec<String>, OnnxError> {
    let mut names: Vec<String> = Vec::new();
    for bytes in &model.graph.initializers {
        let tensor = TensorHeader::decode(bytes.clone()).map_err(|error| OnnxError::Invalid {
            path: folder.to_owned(),
            source: Some(error),
        })?;
        if tensor.data_location != EXTERNAL {
            continue;
        }
        let location = tensor.property("location").unwrap_or_default().to_owned();
        let is_plain = Path::new(&location)
            .file_name()
            .is_some_and(|name| name == location.as_str());
        if !is_plain || location == GRAPH_FILE {
            return Err(OnnxError::DataLocation {
                tensor: tensor.name,
                location,
            });
        }
        let path = folder.join(&location);
        let length = path
            .metadata()
            .map_err(|source| io_error(&path, source))?
            .len();
        let number = |key| {
            tensor
                .property(key)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let end = number("offset")
            .unwrap_or(0)
            .saturating_add(number("length").unwrap_or(0));
        if end > length {
            return Err(OnnxError::Truncated {
                path,
                tensor: tensor.name,
                end,
                length,
            });
        }
        if !names.contains(&location) {
            names.push(location);
        }
    }
    Ok(names)
}

/// Links weights into the target, which costs nothing, or copies them where the target is on another disk.
fn copy_data(
    folder: &Path,
    target: &Path,
    names: &[String],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), OnnxError> {
    let size = |name: &String| folder.join(name).metadata().map_or(0, |file| file.len());
    let total = names.iter().map(size).sum();
    let mut done = 0;
    for name in names {
        let (from, to) = (folder.join(name), target.join(name));
        // Through links, such as those of a cache of downloads, to the file itself.
        let from = from
            .canonicalize()
            .map_err(|source| io_error(&from, source))?;
        let copy = || match fs::hard_link(&from, &to) {
            Ok(()) => Ok(()),
            Err(_) => fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all()),
        };
        copy().map_err(|source| io_error(&to, source))?;
        done += size(name);
        progress(done, total);
    }
    if names.is_empty() {
        progress(0, 0);
    }
    Ok(())
}

fn check_operators(model: &ModelEnvelope) -> Result<(), OnnxError> {
    let is_standard = |domain: &str| domain == STANDARD || domain == "ai.onnx";
    let standard = model
        .operator_sets
        .iter()
        .find(|set| is_standard(&set.domain));
    match standard.map_or(0, |set| set.version) {
        OLDEST_OPERATORS.. => Ok(()),
        found => Err(OnnxError::OldOperators { found }),
    }
}

/// How the weights of most products are stored.
fn stored_as(model: &ModelEnvelope, path: &Path) -> Result<Quantization, OnnxError> {
    let invalid = |error| OnnxError::Invalid {
        path: path.to_owned(),
        source: Some(error),
    };
    let (mut four, mut eight, mut floats) = (0, 0, 0);
    for node in &model.graph.nodes {
        let node = NodeEnvelope::decode(node.clone()).map_err(invalid)?;
        match (&*node.domain, &*node.kind) {
            (CONTRIB, "MatMulNBits") => {
                let is_four = |attribute: &Bytes| {
                    Attribute::decode(attribute.clone())
                        .is_ok_and(|attribute| attribute.name == "bits" && attribute.int == 4)
                };
                if node.attributes.iter().any(is_four) {
                    four += 1;
                } else {
                    eight += 1;
                }
            }
            (
                _,
                "MatMulInteger"
                | "DynamicQuantizeMatMul"
                | "QLinearMatMul"
                | "MatMulIntegerToFloat",
            ) => {
                eight += 1;
            }
            (_, "MatMul" | "Gemm") => floats += 1,
            _ => {}
        }
    }
    // Products of activations are floats in quantized graphs, too, and a graph's head may have more bits than its layers.
    Ok(match (four, eight, floats) {
        (0, 0, _) => Quantization::None,
        (four, eight, _) if four >= eight => Quantization::Int4,
        _ => Quantization::Int8,
    })
}

fn io_error(path: &Path, source: io::Error) -> OnnxError {
    OnnxError::Io {
        path: path.to_owned(),
        source,
    }
}
