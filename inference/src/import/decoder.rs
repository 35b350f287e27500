//! What a decoder's file describes, checked for being exactly what our graph computes.
//!
//! Anything that would change the result and that the graph does not know is refused: a model that loads and answers
//! nonsense is worse than one that does not load.

mod family;
mod from_config;
mod from_gguf;
mod graph;
mod names;
mod rotation;

use thiserror::Error;

use super::gguf::{MetadataError, TensorInfo};
use crate::model_dir::Architecture;

pub(crate) use family::Family;
pub(crate) use from_config::ModelConfig;
pub use graph::GraphError;
#[cfg(test)]
pub(crate) use graph::tests as fixture;
pub(crate) use graph::{DATA_FILE, GRAPH_FILE, write_graph};
pub(crate) use names::Names;
pub(crate) use rotation::Rotation;

/// Why a file is no model that we can run.
#[derive(Debug, Error)]
pub enum DecoderError {
    /// Another architecture.
    #[error(
        "the architecture {found:?} is not supported; supported are {}",
        Family::supported_names()
    )]
    Architecture {
        /// What the file says it is.
        found: String,
    },
    /// A metadata entry of a GGUF file is missing or has the wrong type.
    #[error("the model's description is incomplete")]
    Metadata(#[from] MetadataError),
    /// A field of `config.json` is missing.
    #[error("config.json has no {field}, which a model of type {model_type:?} must have")]
    MissingField {
        /// The field.
        field: &'static str,
        /// The value of `model_type`.
        model_type: String,
    },
    /// A number that no model has.
    #[error("the {field} is {found}, which is not possible: {problem}")]
    Impossible {
        /// The metadata key or the field.
        field: String,
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

/// The feed-forward layers' gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// The Gaussian error linear unit, approximated by a hyperbolic tangent.
    GeluTanh,
}

/// What the graph is built from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoder {
    /// What the engine needs to know, too.
    pub(crate) architecture: Architecture,
    /// Which weights there are, and where norms stand.
    pub(crate) family: Family,
    /// The width of the feed-forward layers.
    pub(crate) feed_forward_size: usize,
    /// What keeps the normalization from dividing by zero.
    pub(crate) epsilon: f32,
    /// What products of queries and keys are multiplied by.
    pub(crate) attention_scale: f32,
    /// The gate of the feed-forward layers.
    pub(crate) activation: Activation,
    /// How positions rotate queries and keys.
    pub(crate) rotation: Rotation,
    /// The same in layers with a window, where it differs.
    pub(crate) window_rotation: Option<Rotation>,
    /// How many tokens, its own included, each layer's token attends to; all of them when absent.
    pub(crate) windows: Vec<Option<usize>>,
    /// The bound that attention's scores approach.
    pub(crate) attention_soft_cap: Option<f32>,
    /// The bound that logits approach.
    pub(crate) logit_soft_cap: Option<f32>,
    /// What the file's norm weights lack: files of some families hold the distance from one.
    pub(crate) norm_offset: f32,
    /// Whether the file must have a head of its own, rather than use the embedding again where it has none.
    pub(crate) needs_head: bool,
    /// Whether queries and keys hold the two halves of every head interleaved, as GGUF does for one family.
    pub(crate) has_interleaved_heads: bool,
    /// How the file names its tensors.
    pub(crate) names: Names,
}

impl Decoder {
    /// The factor of embeddings, where there is one.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "widths are some thousands"
    )]
    fn embedding_scale(&self) -> Option<f32> {
        self.family
            .scales_embeddings()
            .then(|| (self.architecture.hidden_size as f64).sqrt() as f32)
    }

    /// Refuses tensors that the graph would leave out.
    pub(crate) fn refuse_unused(
        &self,
        tensors: &[TensorInfo],
        used: &[String],
    ) -> Result<(), DecoderError> {
        let is_left_out = |tensor: &&TensorInfo| {
            !used.contains(&tensor.name) && !self.names.is_derived(&tensor.name)
        };
        match tensors.iter().find(is_left_out) {
            None => Ok(()),
            Some(tensor) => Err(DecoderError::Feature {
                feature: "a weight that our graph has no place for",
                origin: tensor.name.clone(),
            }),
        }
    }
}

/// Checks that belong to numbers of every format; `named` gives a number the name it has in its file.
pub(crate) fn check_architecture(
    architecture: &Architecture,
    named: impl Fn(&'static str) -> String,
) -> Result<(), DecoderError> {
    let impossible = |field, found: usize, problem| {
        Err(DecoderError::Impossible {
            field: named(field),
            found: found.to_string(),
            problem,
        })
    };
    if !architecture.heads.is_multiple_of(architecture.kv_heads) {
        return impossible(
            "kv_heads",
            architecture.kv_heads,
            "it must divide the number of query heads",
        );
    }
    if architecture.head_size == 0 || !architecture.head_size.is_multiple_of(8) {
        return impossible(
            "head_size",
            architecture.head_size,
            "the size of a head must be a multiple of 8",
        );
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "heads have a few hundred values at most"
)]
fn scale_of(head_size: usize) -> f32 {
    (1.0 / (head_size as f64).sqrt()) as f32
}

/// The windows of layers of which every `pattern`-th sees everything.
fn alternating_windows(layers: usize, window: usize, pattern: usize) -> Vec<Option<usize>> {
    (1..=layers)
        .map(|number| (!number.is_multiple_of(pattern)).then_some(window))
        .collect()
}
