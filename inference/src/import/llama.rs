//! What a llama-architecture GGUF file describes, checked for being exactly what our graph computes.
//!
//! Anything that would change the result and that the graph does not know is refused: a model that loads and answers
//! nonsense is worse than one that does not load.

mod graph;

use thiserror::Error;

use super::gguf::{Metadata, MetadataError, TensorInfo};
use crate::model_dir::Architecture;

pub use graph::GraphError;
pub(crate) use graph::{DATA_FILE, GRAPH_FILE, write_graph};

const DEFAULT_ROPE_BASE: f64 = 10_000.0;

/// Why a file is no model that we can run.
#[derive(Debug, Error)]
pub enum LlamaError {
    /// Another architecture.
    #[error("the architecture {found:?} is not supported: only \"llama\" is")]
    Architecture {
        /// The value of `general.architecture`.
        found: String,
    },
    /// A metadata entry is missing or has the wrong type.
    #[error("the model's description is incomplete")]
    Metadata(#[from] MetadataError),
    /// A number that no model has.
    #[error("the metadata key {key} is {found}, which is not possible: {problem}")]
    Impossible {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// Why it cannot be.
        problem: &'static str,
    },
    /// A feature that changes the result and that we do not compute.
    #[error("the model uses {feature} ({origin}), which is not supported")]
    Feature {
        /// What it is called.
        feature: &'static str,
        /// The key or the tensor that shows it.
        origin: String,
    },
}

/// The numbers that the graph is built from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Llama {
    /// What the engine needs to know, too.
    pub(crate) architecture: Architecture,
    /// The width of the feed-forward layers.
    pub(crate) feed_forward_size: usize,
    /// What keeps the normalization from dividing by zero.
    pub(crate) epsilon: f32,
    /// The base of the rotary embedding's frequencies.
    pub(crate) rope_base: f64,
}

impl Llama {
    /// Reads and checks a file's description.
    pub(crate) fn read(metadata: &Metadata, vocabulary_size: usize) -> Result<Self, LlamaError> {
        let found = metadata.string("general.architecture")?;
        if found != "llama" {
            return Err(LlamaError::Architecture {
                found: found.to_owned(),
            });
        }
        refuse_unknown_features(metadata)?;
        let hidden_size = positive(metadata, "llama.embedding_length")?;
        let heads = positive(metadata, "llama.attention.head_count")?;
        let kv_heads = match metadata.get("llama.attention.head_count_kv") {
            Some(_) => positive(metadata, "llama.attention.head_count_kv")?,
            None => heads,
        };
        let head_size = head_size(metadata, hidden_size, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(LlamaError::Impossible {
                key: "llama.attention.head_count_kv",
                found: kv_heads.to_string(),
                problem: "it must divide llama.attention.head_count",
            });
        }
        Ok(Self {
            architecture: Architecture {
                layers: positive(metadata, "llama.block_count")?,
                hidden_size,
                heads,
                kv_heads,
                head_size,
                vocabulary_size,
                context_length: positive(metadata, "llama.context_length")?,
            },
            feed_forward_size: positive(metadata, "llama.feed_forward_length")?,
            epsilon: epsilon(metadata)?,
            rope_base: metadata
                .optional_f64("llama.rope.freq_base")?
                .unwrap_or(DEFAULT_ROPE_BASE),
        })
    }

    /// Refuses tensors that the graph would leave out.
    pub(crate) fn refuse_unused(tensors: &[TensorInfo], used: &[String]) -> Result<(), LlamaError> {
        match tensors.iter().find(|tensor| !used.contains(&tensor.name)) {
            None => Ok(()),
            Some(tensor) => Err(LlamaError::Feature {
                feature: "a weight that our graph has no place for",
                origin: tensor.name.clone(),
            }),
        }
    }
}

/// The largest number that makes sense for any dimension; it keeps products of two within range.
const LARGEST: u32 = 1 << 24;

fn positive(metadata: &Metadata, key: &'static str) -> Result<usize, LlamaError> {
    let value = metadata.u32(key)?;
    let problem = if value == 0 {
        "it must not be zero"
    } else {
        "it is too large"
    };
    match usize::try_from(value) {
        Ok(size) if (1..=LARGEST).contains(&value) => Ok(size),
        _ => Err(LlamaError::Impossible {
            key,
            found: value.to_string(),
            problem,
        }),
    }
}

fn head_size(metadata: &Metadata, hidden_size: usize, heads: usize) -> Result<usize, LlamaError> {
    const KEY: &str = "llama.attention.key_length";
    let size = match metadata.get(KEY) {
        Some(_) => positive(metadata, KEY)?,
        None => hidden_size / heads,
    };
    if size == 0 || !size.is_multiple_of(8) {
        let problem = "the size of a head must be a multiple of 8";
        return Err(LlamaError::Impossible {
            key: KEY,
            found: size.to_string(),
            problem,
        });
    }
    for (key, feature) in [
        (
            "llama.attention.value_length",
            "values of another size than keys",
        ),
        (
            "llama.rope.dimension_count",
            "a rotation of a part of each head",
        ),
    ] {
        if let Some(other) = metadata.optional_u32(key)?
            && usize::try_from(other) != Ok(size)
        {
            return Err(LlamaError::Feature {
                feature,
                origin: format!("{key} = {other}"),
            });
        }
    }
    Ok(size)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the file holds a 32 bit float, which was widened"
)]
fn epsilon(metadata: &Metadata) -> Result<f32, LlamaError> {
    const KEY: &str = "llama.attention.layer_norm_rms_epsilon";
    let value = metadata
        .optional_f64(KEY)?
        .ok_or_else(|| MetadataError::Missing {
            key: KEY.to_owned(),
        })?;
    if value > 0.0 && value < 1.0 {
        return Ok(value as f32);
    }
    Err(LlamaError::Impossible {
        key: KEY,
        found: value.to_string(),
        problem: "it must lie between 0 and 1",
    })
}

fn refuse_unknown_features(metadata: &Metadata) -> Result<(), LlamaError> {
    for (key, feature) in [
        ("llama.expert_count", "a mixture of experts"),
        (
            "llama.attention.sliding_window",
            "a sliding attention window",
        ),
    ] {
        if let Some(value @ 1..) = metadata.optional_u32(key)? {
            return Err(LlamaError::Feature {
                feature,
                origin: format!("{key} = {value}"),
            });
        }
    }
    match metadata.optional_string("llama.rope.scaling.type")? {
        None | Some("none") => {}
        Some(other) => {
            let origin = format!("llama.rope.scaling.type = {other}");
            return Err(LlamaError::Feature {
                feature: "a scaled rotary embedding",
                origin,
            });
        }
    }
    for key in [
        "llama.attention.scale",
        "llama.rope.scale_linear",
        "llama.attention.logit_softcapping",
    ] {
        if metadata.get(key).is_some() {
            return Err(LlamaError::Feature {
                feature: "a setting that our graph does not know",
                origin: key.to_owned(),
            });
        }
    }
    Ok(())
}
