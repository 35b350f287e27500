//! A decoder in ONNX Runtime: tokens in, logits out, with the attention cache in place.
//!
//! The only module that calls ONNX Runtime. It knows tokens and numbers; text, sampling and requests are above it.

mod bound;
mod flat;
mod graph;
mod half;
mod operators;
mod placement;
pub mod runtime;
mod seq2seq;
mod text_encoder;

use std::{fmt, num::NonZero, path::PathBuf};

use thiserror::Error;

use crate::{
    decoder::{Decoder as _, Step},
    device::Device,
    model_dir::ModelDir,
};
pub(crate) use graph::{Graph, KvCache, Move};
#[cfg(test)]
pub(crate) use operators::rewrite;
pub use placement::Placement;
use runtime::RuntimeError;
pub(crate) use seq2seq::{
    DECODER_FILE, ENCODER_FILE, MERGED_FILE, Seq2SeqSession, graphs as seq2seq_graphs,
};
pub(crate) use text_encoder::PACKED_INPUTS;
pub use text_encoder::{EncoderError, EncoderSession};

/// Why a decoder could not be loaded, or could not go on.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The library is not loaded.
    #[error("failed to use ONNX Runtime")]
    Runtime(#[from] RuntimeError),
    /// The graph does not load.
    #[error("failed to load {}; import or download the model again", path.display())]
    Load {
        /// The graph's file.
        path: PathBuf,
        /// What the runtime says.
        source: ort::Error,
    },
    /// The graph was written for another version of this program.
    #[error("the graph {} is of another version; import or download the model again", path.display())]
    OtherGraph {
        /// The graph's file.
        path: PathBuf,
    },
    /// A GPU was demanded, and none works.
    #[error(
        "failed to use a GPU (device {}): {reason}; choose the device Auto or Cpu, or mend the GPU",
        Device::Cuda
    )]
    NoGpu {
        /// Why not.
        reason: String,
    },
    /// The attention cache does not fit into memory.
    #[error(
        "failed to allocate an attention cache of {bytes} bytes for {positions} tokens; load the model with a smaller context length"
    )]
    Cache {
        /// Its size.
        bytes: usize,
        /// Its positions.
        positions: usize,
        /// What the runtime says.
        source: ort::Error,
    },
    /// A run of the graph failed.
    #[error("failed to compute the next token")]
    Run(#[from] ort::Error),
    /// The graph's result is no number.
    #[error("the model computed no finite number; its weights are damaged")]
    NotFinite,
    /// More tokens than the cache has room for.
    #[error("failed to place {tokens} tokens after {past}: the cache has room for {capacity}")]
    CacheFull {
        /// The tokens to add.
        tokens: usize,
        /// The tokens that are there.
        past: usize,
        /// The cache's capacity.
        capacity: usize,
    },
}

/// How a decoder runs.
#[derive(Debug, Clone, Copy)]
pub struct SessionOptions {
    /// The wanted device.
    pub device: Device,
    /// Threads for one computation; all of the processor's when absent.
    pub threads: Option<NonZero<usize>>,
    /// The most tokens of one conversation.
    pub context_length: usize,
}

/// A loaded decoder with room for one conversation.
pub struct DecoderSession {
    graph: Graph,
    cache: KvCache,
    past: usize,
}

impl fmt::Debug for DecoderSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DecoderSession")
            .field("graph", &self.graph)
            .field("past", &self.past)
            .finish_non_exhaustive()
    }
}

impl DecoderSession {
    /// Loads the decoder of a model directory.
    pub fn load(model: &ModelDir, options: SessionOptions) -> Result<Self, SessionError> {
        let mut graph = Graph::load(model, options)?;
        let capacity = graph.shape().capacity_for(1);
        let cache = graph.allocate(1, capacity)?;
        Ok(Self {
            graph,
            cache,
            past: 0,
        })
    }

    /// Where it runs.
    pub fn placement(&self) -> &Placement {
        self.graph.placement()
    }

    /// Forgets the conversation, and makes room for one of `positions` tokens.
    pub fn start(&mut self, positions: usize) -> Result<(), SessionError> {
        self.past = 0;
        let capacity = self.graph.shape().capacity_for(positions);
        if capacity > self.cache.capacity() {
            self.cache = self.graph.allocate(1, capacity)?;
        }
        Ok(())
    }

    /// Adds tokens to the conversation, and returns the logits of what follows the last of them.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
        let past = self.past;
        let logits = match tokens {
            &[token] => {
                let step = Step {
                    row: 0,
                    token,
                    past,
                };
                self.graph.step(&mut self.cache, &[step])?
            }
            _ => self.graph.extend(&mut self.cache, past, tokens, 1)?,
        };
        self.past += tokens.len();
        Ok(logits)
    }
}
