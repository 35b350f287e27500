//! The decoder graph: grouped-query attention over a cache that the caller owns, logits for one position a row.
//!
//! Inputs are `input_ids`, `seqlens_k` (tokens in the cache after this run, less one), `total_sequence_length`,
//! `last_token_index` (the position whose logits are wanted) and the cache; outputs are `logits` and the cache.

use std::{
    io::{self, Read, Seek},
    path::Path,
};

use thiserror::Error;

use super::Llama;
use crate::{
    import::{
        gguf::{GgufError, GgufFile, TensorInfo},
        onnx::{CONTRIB, ElementType, ModelWriter, Operator, STANDARD, Setting, Size},
        weight::{BLOCK_SIZE, DEFAULT_ZERO_POINT, Int8Blocks, Weight},
    },
    model_dir::Quantization,
};

/// The graph's file in a model directory.
pub(crate) const GRAPH_FILE: &str = "model.onnx";
/// The weights' file in a model directory.
pub(crate) const DATA_FILE: &str = "model.onnx.data";

/// Quantizes activations to 8 bits, too, so that the products are whole numbers: several times as fast.
const INT8_ACCURACY: i64 = 4;

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
        "the tensor {name} has rows of {columns} values, which Int8 cannot divide into blocks of {BLOCK_SIZE}; import with quantization None"
    )]
    NotQuantizable {
        /// The tensor's name.
        name: String,
        /// The length of its rows.
        columns: usize,
    },
    /// A weight could not be read.
    #[error("failed to read a weight")]
    Read(#[from] GgufError),
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
pub(crate) fn write_graph<R: Read + Seek>(
    source: &mut GgufFile<R>,
    llama: &Llama,
    quantization: Quantization,
    directory: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<WrittenGraph, GraphError> {
    let writer = ModelWriter::create("llama", &directory.join(DATA_FILE))?;
    let mut builder = Builder {
        source,
        llama,
        quantization,
        writer,
        progress,
        bytes_read: 0,
        used_tensors: Vec::new(),
        embedding: None,
    };
    builder.declare()?;
    builder.embed()?;
    for layer in 0..llama.architecture.layers {
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

struct Builder<'a, R> {
    source: &'a mut GgufFile<R>,
    llama: &'a Llama,
    quantization: Quantization,
    writer: ModelWriter,
    progress: &'a mut dyn FnMut(u64),
    bytes_read: u64,
    used_tensors: Vec<String>,
    /// The embedding, which may also be the head.
    embedding: Option<Int8Constants>,
}

/// A linear layer, or several over the same input, whose outputs are joined.
struct Linear<'a> {
    input: &'a str,
    output: &'a str,
    /// The name of the constants.
    name: &'a str,
    weights: Vec<Weight>,
}

/// The names of a quantized weight's constants.
#[derive(Clone)]
struct Int8Constants {
    values: String,
    scales: String,
    /// Absent when all are what the runtime assumes.
    zero_points: Option<String>,
}

impl<R: Read + Seek> Builder<'_, R> {
    /// Inputs, outputs, and the constants that no weight stands for.
    fn declare(&mut self) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let batch = Size::Named("batch_size");
        self.writer.input(
            "input_ids",
            ElementType::Int64,
            &[batch, Size::Named("sequence_length")],
        );
        self.writer.input("seqlens_k", ElementType::Int32, &[batch]);
        self.writer
            .input("total_sequence_length", ElementType::Int32, &[]);
        self.writer
            .input("last_token_index", ElementType::Int64, &[batch]);
        self.writer.output(
            "logits",
            ElementType::Float,
            &[batch, Size::Fixed(shape.vocabulary_size)],
        );
        let cache = |length| {
            [
                batch,
                Size::Fixed(shape.kv_heads),
                Size::Named(length),
                Size::Fixed(shape.head_size),
            ]
        };
        for layer in 0..shape.layers {
            for part in ["key", "value"] {
                let past = format!("past_key_values.{layer}.{part}");
                self.writer
                    .input(&past, ElementType::Float, &cache("past_sequence_length"));
                let present = format!("present.{layer}.{part}");
                self.writer.output(
                    &present,
                    ElementType::Float,
                    &cache("present_sequence_length"),
                );
            }
        }
        let table = [shape.context_length, shape.head_size / 2];
        self.writer
            .floats("cos_cache", &table, self.llama.rotations(f64::cos))?;
        self.writer
            .floats("sin_cache", &table, self.llama.rotations(f64::sin))?;
        Ok(())
    }

    fn embed(&mut self) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let (rows, columns) = (shape.vocabulary_size, shape.hidden_size);
        let weight = self.weight("token_embd.weight", rows, columns)?;
        match self.quantization {
            Quantization::None => {
                self.writer
                    .floats("embed", &[rows, columns], weight.to_floats().into_iter())?;
                self.operator(
                    "Gather",
                    STANDARD,
                    &["embed", "input_ids"],
                    &["residual.0"],
                    &[],
                );
            }
            Quantization::Int8 => {
                let constants = self.int8_constants("embed", &[rows, columns], &[weight])?;
                let settings = [
                    ("bits", Setting::Int(8)),
                    ("block_size", Setting::Int(BLOCK_SIZE as i64)),
                    ("gather_axis", Setting::Int(0)),
                    ("quantize_axis", Setting::Int(1)),
                ];
                let mut inputs = vec![&*constants.values, "input_ids", &constants.scales];
                inputs.extend(constants.zero_points.as_deref());
                self.operator(
                    "GatherBlockQuantized",
                    CONTRIB,
                    &inputs,
                    &["residual.0"],
                    &settings,
                );
                self.embedding = Some(constants);
            }
        }
        self.norm_weight("blk.0.attn_norm.weight")?;
        let settings = [
            ("axis", Setting::Int(-1)),
            ("epsilon", Setting::Float(self.llama.epsilon)),
            ("stash_type", Setting::Int(1)),
        ];
        let inputs = ["residual.0", "blk.0.attn_norm.weight"];
        self.operator(
            "SimplifiedLayerNormalization",
            STANDARD,
            &inputs,
            &["blk.0.attn_in"],
            &settings,
        );
        Ok(())
    }

    fn attention(&mut self, layer: usize) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, query, kv) = (
            shape.hidden_size,
            shape.heads * shape.head_size,
            shape.kv_heads * shape.head_size,
        );
        let weights = vec![
            self.weight(&name("attn_q.weight"), query, hidden)?
                .with_deinterleaved_heads(shape.head_size),
            self.weight(&name("attn_k.weight"), kv, hidden)?
                .with_deinterleaved_heads(shape.head_size),
            self.weight(&name("attn_v.weight"), kv, hidden)?,
        ];
        let (qkv, attended) = (name("qkv_out"), name("attn_out"));
        self.linear(Linear {
            input: &name("attn_in"),
            output: &qkv,
            name: &name("qkv"),
            weights,
        })?;
        let past = ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"));
        let present = ["key", "value"].map(|part| format!("present.{layer}.{part}"));
        let inputs = [
            &qkv,
            "",
            "",
            &past[0],
            &past[1],
            "seqlens_k",
            "total_sequence_length",
            "cos_cache",
            "sin_cache",
        ];
        let settings = [
            ("num_heads", Setting::Int(to_i64(shape.heads))),
            ("kv_num_heads", Setting::Int(to_i64(shape.kv_heads))),
            ("scale", Setting::Float(attention_scale(shape.head_size))),
            ("do_rotary", Setting::Int(1)),
            ("rotary_interleaved", Setting::Int(0)),
        ];
        self.operator(
            "GroupQueryAttention",
            CONTRIB,
            &inputs,
            &[&attended, &present[0], &present[1]],
            &settings,
        );
        let weights = vec![self.weight(&name("attn_output.weight"), hidden, query)?];
        let (output, normalized) = (name("o_out"), name("ffn_in"));
        self.linear(Linear {
            input: &attended,
            output: &output,
            name: &name("o"),
            weights,
        })?;
        let residual = (format!("residual.{layer}"), name("residual"));
        self.add_and_norm(
            [&residual.0, &output],
            &name("ffn_norm.weight"),
            &normalized,
            &residual.1,
        )
    }

    fn feed_forward(&mut self, layer: usize) -> Result<(), GraphError> {
        let (hidden, inner) = (
            self.llama.architecture.hidden_size,
            self.llama.feed_forward_size,
        );
        let name = |part: &str| format!("blk.{layer}.{part}");
        let input = name("ffn_in");
        for (part, tensor) in [("gate", "ffn_gate.weight"), ("up", "ffn_up.weight")] {
            let weights = vec![self.weight(&name(tensor), inner, hidden)?];
            let output = name(&format!("{part}_out"));
            self.linear(Linear {
                input: &input,
                output: &output,
                name: &name(part),
                weights,
            })?;
        }
        let (gate, sigmoid, silu, gated) = (
            name("gate_out"),
            name("sigmoid"),
            name("silu"),
            name("gated"),
        );
        self.operator("Sigmoid", STANDARD, &[&gate], &[&sigmoid], &[]);
        self.operator("Mul", STANDARD, &[&gate, &sigmoid], &[&silu], &[]);
        self.operator("Mul", STANDARD, &[&silu, &name("up_out")], &[&gated], &[]);
        let weights = vec![self.weight(&name("ffn_down.weight"), hidden, inner)?];
        let output = name("down_out");
        self.linear(Linear {
            input: &gated,
            output: &output,
            name: &name("down"),
            weights,
        })?;
        let next = layer + 1;
        let (norm, normalized, residual) = if next == self.llama.architecture.layers {
            (
                "output_norm.weight".to_owned(),
                "final".to_owned(),
                String::new(),
            )
        } else {
            (
                format!("blk.{next}.attn_norm.weight"),
                format!("blk.{next}.attn_in"),
                format!("residual.{next}"),
            )
        };
        self.add_and_norm([&name("residual"), &output], &norm, &normalized, &residual)
    }

    /// The vocabulary's logits at one position of each row.
    fn head(&mut self) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let (rows, columns) = (shape.vocabulary_size, shape.hidden_size);
        self.writer.integers("one", &[1], &[1])?;
        self.operator(
            "Unsqueeze",
            STANDARD,
            &["last_token_index", "one"],
            &["last_token"],
            &[],
        );
        let batch = [("batch_dims", Setting::Int(1))];
        self.operator(
            "GatherND",
            STANDARD,
            &["final", "last_token"],
            &["final_last"],
            &batch,
        );
        if self.find("output.weight").is_some() {
            let weights = vec![self.weight("output.weight", rows, columns)?];
            return self.linear(Linear {
                input: "final_last",
                output: "logits",
                name: "head",
                weights,
            });
        }
        // Without a head of its own the model uses the embedding again, which stays one copy on disk.
        match self.quantization {
            Quantization::None => {
                let permutation = [("perm", Setting::Ints(&[1, 0]))];
                self.operator("Transpose", STANDARD, &["embed"], &["head"], &permutation);
                self.operator(
                    "MatMul",
                    STANDARD,
                    &["final_last", "head"],
                    &["logits"],
                    &[],
                );
            }
            Quantization::Int8 => {
                let embedding = self
                    .embedding
                    .clone()
                    .expect("the embedding is written first");
                let blocks = [rows, columns / BLOCK_SIZE, BLOCK_SIZE].map(to_i64);
                self.writer.integers("head.shape", &[3], &blocks)?;
                self.operator(
                    "Reshape",
                    STANDARD,
                    &["embed.q8", "head.shape"],
                    &["head.q8"],
                    &[],
                );
                let constants = Int8Constants {
                    values: "head.q8".to_owned(),
                    ..embedding
                };
                self.multiply_int8("final_last", "logits", &constants, [rows, columns]);
            }
        }
        Ok(())
    }

    fn linear(&mut self, linear: Linear<'_>) -> Result<(), GraphError> {
        let rows = linear.weights.iter().map(Weight::rows).sum();
        let columns = linear.weights[0].columns();
        match self.quantization {
            Quantization::None => {
                let constant = format!("{}.weight", linear.name);
                let values: Vec<f32> = linear.weights.iter().flat_map(Weight::to_floats).collect();
                let transposed = (0..columns)
                    .flat_map(|column| values[column..].iter().step_by(columns).copied());
                self.writer
                    .floats(&constant, &[columns, rows], transposed)?;
                self.operator(
                    "MatMul",
                    STANDARD,
                    &[linear.input, &constant],
                    &[linear.output],
                    &[],
                );
            }
            Quantization::Int8 => {
                let shape = [rows, columns / BLOCK_SIZE, BLOCK_SIZE];
                let constants = self.int8_constants(linear.name, &shape, &linear.weights)?;
                self.multiply_int8(linear.input, linear.output, &constants, [rows, columns]);
            }
        }
        Ok(())
    }

    /// Writes weights as 8-bit blocks, one below the other; `shape` is that of their values.
    fn int8_constants(
        &mut self,
        name: &str,
        shape: &[usize],
        weights: &[Weight],
    ) -> Result<Int8Constants, GraphError> {
        let blocks: Vec<Int8Blocks> = weights.iter().map(Weight::to_int8).collect();
        let per_block = [shape[0], shape[1..].iter().product::<usize>() / BLOCK_SIZE];
        let (values, scales) = (format!("{name}.q8"), format!("{name}.scales"));
        self.writer.bytes(
            &values,
            shape,
            blocks.iter().flat_map(|part| part.values.iter().copied()),
        )?;
        self.writer.floats(
            &scales,
            &per_block,
            blocks.iter().flat_map(|part| part.scales.iter().copied()),
        )?;
        let mut zero_points = blocks
            .iter()
            .flat_map(|part| part.zero_points.iter().copied());
        let zero_points = if zero_points
            .clone()
            .all(|zero_point| zero_point == DEFAULT_ZERO_POINT)
        {
            None
        } else {
            let name = format!("{name}.zero_points");
            self.writer.bytes(&name, &per_block, &mut zero_points)?;
            Some(name)
        };
        Ok(Int8Constants {
            values,
            scales,
            zero_points,
        })
    }

    fn multiply_int8(
        &mut self,
        input: &str,
        output: &str,
        weight: &Int8Constants,
        [rows, columns]: [usize; 2],
    ) {
        let settings = [
            ("K", Setting::Int(to_i64(columns))),
            ("N", Setting::Int(to_i64(rows))),
            ("bits", Setting::Int(8)),
            ("block_size", Setting::Int(BLOCK_SIZE as i64)),
            ("accuracy_level", Setting::Int(INT8_ACCURACY)),
        ];
        let mut inputs = vec![input, &weight.values, &weight.scales];
        inputs.extend(weight.zero_points.as_deref());
        self.operator("MatMulNBits", CONTRIB, &inputs, &[output], &settings);
    }

    /// Adds `output` to the residual stream and normalizes the sum. An empty `sum` leaves the sum itself out.
    fn add_and_norm(
        &mut self,
        inputs: [&str; 2],
        norm: &str,
        normalized: &str,
        sum: &str,
    ) -> Result<(), GraphError> {
        self.norm_weight(norm)?;
        let outputs: &[&str] = if sum.is_empty() {
            &[normalized]
        } else {
            &[normalized, "", "", sum]
        };
        let settings = [("epsilon", Setting::Float(self.llama.epsilon))];
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

    fn norm_weight(&mut self, name: &str) -> Result<(), GraphError> {
        let hidden = self.llama.architecture.hidden_size;
        let values = self.read(name, &[hidden])?.to_floats();
        Ok(self.writer.floats(name, &[hidden], values.into_iter())?)
    }

    fn weight(&mut self, name: &str, rows: usize, columns: usize) -> Result<Weight, GraphError> {
        if self.quantization == Quantization::Int8 && !columns.is_multiple_of(BLOCK_SIZE) {
            return Err(GraphError::NotQuantizable {
                name: name.to_owned(),
                columns,
            });
        }
        self.read(name, &[rows, columns])
    }

    fn read(&mut self, name: &str, expected: &[usize]) -> Result<Weight, GraphError> {
        let info = self.find(name).ok_or_else(|| GraphError::MissingTensor {
            name: name.to_owned(),
        })?;
        if info.dimensions != expected {
            return Err(GraphError::WrongShape {
                name: name.to_owned(),
                found: info.dimensions,
                expected: expected.to_vec(),
            });
        }
        let bytes = self.source.read_tensor(&info)?;
        self.bytes_read += info.byte_length;
        (self.progress)(self.bytes_read);
        self.used_tensors.push(name.to_owned());
        Ok(Weight::new(&info, bytes))
    }

    fn find(&self, name: &str) -> Option<TensorInfo> {
        self.source
            .tensors()
            .iter()
            .find(|tensor| tensor.name == name)
            .cloned()
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
}

impl Llama {
    /// A function of every rotation angle, position by position.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the table holds 32 bit floats; angles are computed wider so that large positions stay exact"
    )]
    fn rotations(&self, function: fn(f64) -> f64) -> impl Iterator<Item = f32> {
        let (positions, size) = (
            self.architecture.context_length,
            self.architecture.head_size,
        );
        let frequency = |pair: usize| 1.0 / self.rope_base.powf((2 * pair) as f64 / size as f64);
        let frequencies: Vec<f64> = (0..size / 2).map(frequency).collect();
        (0..positions).flat_map(move |position| {
            let angles: Vec<f32> = frequencies
                .iter()
                .map(|frequency| function(position as f64 * frequency) as f32)
                .collect();
            angles
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "heads have a few hundred values at most"
)]
fn attention_scale(head_size: usize) -> f32 {
    (1.0 / (head_size as f64).sqrt()) as f32
}

fn to_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes of tensors that exist fit into 63 bits")
}
