//! A decoder in ONNX Runtime: tokens in, logits out, with the attention cache in place.
//!
//! The only module that calls ONNX Runtime. It knows tokens and numbers; text, sampling and requests are above it.

mod cache;
mod placement;
pub mod runtime;

use std::{fmt, num::NonZero, path::PathBuf};

use ort::{memory::Allocator, session::Session, value::Tensor};
use thiserror::Error;

use crate::{
    device::Device,
    kv_cache::KvShape,
    model_dir::{Architecture, ModelDir},
};
use cache::Cache;
pub use placement::Placement;
use runtime::RuntimeError;

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
    session: Session,
    shape: KvShape,
    placement: Placement,
    step: StepInputs,
    logits: Tensor<f32>,
    cache: Cache,
    past: usize,
}

/// The tensors that change with every run, allocated once.
struct StepInputs {
    token: Tensor<i64>,
    sequence: Tensor<i32>,
    total: Tensor<i32>,
    last: Tensor<i64>,
}

impl fmt::Debug for DecoderSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DecoderSession")
            .field("shape", &self.shape)
            .field("past", &self.past)
            .finish_non_exhaustive()
    }
}

impl DecoderSession {
    /// Loads the decoder of a model directory.
    pub fn load(model: &ModelDir, options: SessionOptions) -> Result<Self, SessionError> {
        let Architecture {
            layers,
            kv_heads,
            head_size,
            vocabulary_size,
            ..
        } = model.manifest().architecture;
        let shape = KvShape {
            layers,
            heads: kv_heads,
            head_size,
            context_length: options.context_length,
        };
        let (session, placement) = placement::open(model, options)?;
        let host = Allocator::default();
        let step = StepInputs {
            token: Tensor::new(&host, [1_usize, 1])?,
            sequence: Tensor::new(&host, [1_usize])?,
            total: Tensor::from_array((Vec::<i64>::new(), vec![0]))?,
            last: Tensor::new(&host, [1_usize])?,
        };
        let mut logits = Tensor::new(&host, [1, vocabulary_size])?;
        let cache = Cache::new(
            &session,
            shape,
            shape.capacity_for(1),
            placement.device,
            &mut logits,
        )?;
        Ok(Self {
            session,
            shape,
            placement,
            step,
            logits,
            cache,
            past: 0,
        })
    }

    /// Where it runs.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Forgets the conversation, and makes room for one of `positions` tokens.
    pub fn start(&mut self, positions: usize) -> Result<(), SessionError> {
        self.past = 0;
        let capacity = self.shape.capacity_for(positions);
        if capacity != self.cache.capacity {
            self.cache = Cache::new(
                &self.session,
                self.shape,
                capacity,
                self.placement.device,
                &mut self.logits,
            )?;
        }
        Ok(())
    }

    /// Adds tokens to the conversation, and returns the logits of what follows the last of them.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
        let total = self.past + tokens.len();
        if tokens.is_empty() || total > self.cache.capacity {
            let (past, capacity) = (self.past, self.cache.capacity);
            return Err(SessionError::CacheFull {
                tokens: tokens.len(),
                past,
                capacity,
            });
        }
        self.bind(tokens, total)?;
        // The outputs are tensors of ours, so what the run returns is not needed.
        drop(self.session.run_binding(&self.cache.binding)?);
        self.past = total;
        Ok(self.logits.extract_tensor().1)
    }

    fn bind(&mut self, tokens: &[u32], total: usize) -> Result<(), SessionError> {
        let Self {
            step,
            cache: Cache { binding, .. },
            ..
        } = self;
        if let &[token] = tokens {
            step.token.extract_tensor_mut().1[0] = token.into();
            binding.bind_input("input_ids", &step.token)?;
        } else {
            let tokens: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
            binding.bind_input(
                "input_ids",
                &Tensor::from_array(([1, tokens.len()], tokens))?,
            )?;
        }
        step.sequence.extract_tensor_mut().1[0] = position(total - 1);
        step.total.extract_tensor_mut().1[0] = position(total);
        step.last.extract_tensor_mut().1[0] = position(tokens.len() - 1).into();
        // A device other than the host copies inputs when they are bound, so changed content is bound again.
        binding.bind_input("seqlens_k", &step.sequence)?;
        binding.bind_input("total_sequence_length", &step.total)?;
        binding.bind_input("last_token_index", &step.last)?;
        Ok(())
    }
}

/// A position in the cache, as the graph takes it.
fn position(index: usize) -> i32 {
    i32::try_from(index).expect("a cache of 2^31 positions fits into no memory")
}
