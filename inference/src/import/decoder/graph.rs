//! The decoder graph: grouped-query attention over a cache that the caller owns, logits for the positions it names.
//!
//! Inputs are `input_ids`, `seqlens_k` (tokens in the cache after this run, less one), `total_sequence_length`,
//! `logits_index` (the positions of each row whose logits are wanted: the last, or all that were guessed) and the cache;
//! outputs are `logits` and the cache.

mod inputs;
mod layer;
mod linear;
mod vocabulary;

use std::{io, path::Path};

use thiserror::Error;

use super::Decoder;
use crate::{
    import::{
        gguf::TensorInfo,
        onnx::{CONTRIB, ModelWriter, Operator, STANDARD, Setting},
        weight::{BLOCK_SIZE, Weight},
        weights::{Weights, WeightsError},
    },
    model_dir::Quantization,
};
use linear::Int8Constants;

/// The graph's file in a model directory.
pub(crate) const GRAPH_FILE: &str = "model.onnx";
/// The weights' file in a model directory.
pub(crate) const DATA_FILE: &str = "model.onnx.data";

/// Why a graph could not be written.
#[derive(Debug, Error)]
pub enum GraphError {
    /// A weight that the architecture needs is not in the file.
    #[error("the tensor {name} is missing; the file is incomplete")]
    MissingTensor {
        /// The tensor's name.
        name: String,
    },
    /// A weight has other dimensions than the architecture gives it.
    #[error("the tensor {name} has the dimensions {found:?}, where {expected:?} are expected")]
    WrongShape {
        /// The tensor's name.
        name: String,
        /// Its dimensions, outermost first.
        found: Vec<usize>,
        /// The dimensions that follow from the metadata.
        expected: Vec<usize>,
    },
    /// Rows that are not whole blocks cannot be quantized.
    #[error(
        "the tensor {name} has rows of {columns} values, which {quantization} cannot divide into blocks of {BLOCK_SIZE}; import with quantization None"
    )]
    NotQuantizable {
        /// The tensor's name.
        name: String,
        /// The length of its rows.
        columns: usize,
        /// The quantization.
        quantization: Quantization,
    },
    /// A weight could not be read.
    #[error("failed to read a weight")]
    Read(#[from] WeightsError),
    /// The model's files could not be written.
    #[error("failed to write the model")]
    Write(#[from] io::Error),
}

/// What was written.
#[derive(Debug)]
pub(crate) struct WrittenGraph {
    /// The SHA-256 of the data file.
    pub(crate) data_sha256: String,
    /// The names of the tensors that the graph holds.
    pub(crate) used_tensors: Vec<String>,
}

/// Writes the graph and its weights into `directory`. `progress` learns the bytes of weights read so far.
pub(crate) fn write_graph(
    source: &mut dyn Weights,
    decoder: &Decoder,
    quantization: Quantization,
    directory: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<WrittenGraph, GraphError> {
    let writer = ModelWriter::create(decoder.family.name(), &directory.join(DATA_FILE))?;
    let mut builder = Builder {
        source,
        decoder,
        quantization,
        writer,
        progress,
        bytes_read: 0,
        used_tensors: Vec::new(),
        embedding: None,
    };
    builder.declare()?;
    builder.embed()?;
    for layer in 0..decoder.architecture.layers {
        builder.attention(layer)?;
        builder.feed_forward(layer)?;
    }
    builder.head()?;
    let Builder {
        writer,
        used_tensors,
        ..
    } = builder;
    let data_sha256 = writer.finish(&directory.join(GRAPH_FILE))?;
    Ok(WrittenGraph {
        data_sha256,
        used_tensors,
    })
}

struct Builder<'a> {
    source: &'a mut dyn Weights,
    decoder: &'a Decoder,
    quantization: Quantization,
    writer: ModelWriter,
    progress: &'a mut dyn FnMut(u64),
    bytes_read: u64,
    /// By their names in the file.
    used_tensors: Vec<String>,
    /// The embedding, which may also be the head.
    embedding: Option<Int8Constants>,
}

impl Builder<'_> {
    /// Adds `output` to the residual stream and normalizes the sum. An empty `sum` leaves the sum itself out.
    fn add_and_norm(
        &mut self,
        inputs: [&str; 2],
        norm: &str,
        normalized: &str,
        sum: &str,
    ) -> Result<(), GraphError> {
        self.norm_weight(norm, self.decoder.architecture.hidden_size)?;
        let outputs: &[&str] = if sum.is_empty() {
            &[normalized]
        } else {
            &[normalized, "", "", sum]
        };
        let settings = [("epsilon", Setting::Float(self.decoder.epsilon))];
        let inputs = [inputs[0], inputs[1], norm];
        self.operator(
            "SkipSimplifiedLayerNormalization",
            CONTRIB,
            &inputs,
            outputs,
            &settings,
        );
        Ok(())
    }

    /// Normalizes the last dimension, of `size` values.
    fn norm(
        &mut self,
        input: &str,
        norm: &str,
        output: &str,
        size: usize,
    ) -> Result<(), GraphError> {
        self.norm_weight(norm, size)?;
        let settings = [
            ("axis", Setting::Int(-1)),
            ("epsilon", Setting::Float(self.decoder.epsilon)),
            ("stash_type", Setting::Int(1)),
        ];
        let inputs = [input, norm];
        self.operator(
            "SimplifiedLayerNormalization",
            STANDARD,
            &inputs,
            &[output],
            &settings,
        );
        Ok(())
    }

    fn norm_weight(&mut self, name: &str, size: usize) -> Result<(), GraphError> {
        let offset = self.decoder.norm_offset;
        let values = self.read(name, &[size])?.to_floats();
        let values = values.into_iter().map(|value| value + offset);
        Ok(self.writer.floats(name, &[size], values)?)
    }

    fn weight(&mut self, name: &str, rows: usize, columns: usize) -> Result<Weight, GraphError> {
        if self.quantization != Quantization::None && !columns.is_multiple_of(BLOCK_SIZE) {
            return Err(GraphError::NotQuantizable {
                name: self.decoder.names.in_file(name),
                columns,
                quantization: self.quantization,
            });
        }
        self.read(name, &[rows, columns])
    }

    fn read(&mut self, name: &str, expected: &[usize]) -> Result<Weight, GraphError> {
        let info = self.find(name).ok_or_else(|| GraphError::MissingTensor {
            name: self.decoder.names.in_file(name),
        })?;
        if info.dimensions != expected {
            return Err(GraphError::WrongShape {
                name: info.name,
                found: info.dimensions,
                expected: expected.to_vec(),
            });
        }
        let bytes = self.source.read(&info)?;
        self.bytes_read += info.byte_length;
        (self.progress)(self.bytes_read);
        let weight = Weight::new(&info, bytes);
        self.used_tensors.push(info.name);
        Ok(weight)
    }

    fn find(&self, name: &str) -> Option<TensorInfo> {
        let name = self.decoder.names.in_file(name);
        let mut tensors = self.source.tensors().iter();
        tensors.find(|tensor| tensor.name == name).cloned()
    }

    fn operator(
        &mut self,
        kind: &str,
        domain: &str,
        inputs: &[&str],
        outputs: &[&str],
        settings: &[(&str, Setting)],
    ) {
        self.writer.operator(&Operator {
            kind,
            domain,
            inputs,
            outputs,
            settings,
        });
    }

    /// A standard operator without settings.
    fn compute(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.operator(kind, STANDARD, inputs, &[output], &[]);
    }
}

fn to_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes of tensors that exist fit into 63 bits")
}

#[cfg(test)]
pub(crate) mod tests;
