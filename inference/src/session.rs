//! A decoder in ONNX Runtime: tokens in, logits out, with the attention cache in place.
//!
//! The only module that calls ONNX Runtime. It knows tokens and numbers; text, sampling and requests are above it.

pub mod runtime;

use std::{fmt, num::NonZero, path::PathBuf, thread};

use ort::{
    ep::{self, ExecutionProvider as _},
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{
        IoBinding, Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    value::Tensor,
};
use thiserror::Error;

use crate::{
    device::Device,
    kv_cache::KvShape,
    model_dir::{Architecture, ModelDir},
};
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

/// Where a decoder runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The device it runs on: `Cpu` or `Cuda`.
    pub device: Device,
    /// Why it is not the better one.
    pub reason: Option<String>,
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

/// The attention cache, bound as the graph's past and as its present, so that no run copies it.
struct Cache {
    binding: IoBinding,
    capacity: usize,
}

impl fmt::Debug for DecoderSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DecoderSession")
            .field("shape", &self.shape)
            .field("past", &self.past)
            .finish()
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
        let (session, placement) = open(model, options)?;
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
        let positions = i32::try_from(total).expect("a cache that fits into memory");
        step.sequence.extract_tensor_mut().1[0] = positions - 1;
        step.total.extract_tensor_mut().1[0] = positions;
        step.last.extract_tensor_mut().1[0] =
            i64::try_from(tokens.len() - 1).expect("fits beside the total");
        // A device other than the host copies inputs when they are bound, so changed content is bound again.
        binding.bind_input("seqlens_k", &step.sequence)?;
        binding.bind_input("total_sequence_length", &step.total)?;
        binding.bind_input("last_token_index", &step.last)?;
        Ok(())
    }
}

impl Cache {
    fn new(
        session: &Session,
        shape: KvShape,
        capacity: usize,
        device: Device,
        logits: &mut Tensor<f32>,
    ) -> Result<Self, SessionError> {
        let mut allocate = || -> ort::Result<IoBinding> {
            let allocator = match device {
                Device::Cuda => {
                    let memory = MemoryInfo::new(
                        AllocationDevice::CUDA,
                        0,
                        AllocatorType::Device,
                        MemoryType::Default,
                    )?;
                    Allocator::new(session, memory)?
                }
                Device::Auto | Device::Cpu => Allocator::default(),
            };
            let mut binding = session.create_binding()?;
            for layer in 0..shape.layers {
                for part in ["key", "value"] {
                    let size = [1, shape.heads, capacity, shape.head_size];
                    let mut tensor = Tensor::<f32>::new(&allocator, size)?;
                    binding.bind_input(format!("past_key_values.{layer}.{part}"), &tensor)?;
                    binding.bind_output(format!("present.{layer}.{part}"), &mut tensor)?;
                }
            }
            binding.bind_output("logits", &mut *logits)?;
            Ok(binding)
        };
        let bytes = shape.bytes(capacity);
        let binding = allocate().map_err(|source| SessionError::Cache {
            bytes,
            positions: capacity,
            source,
        })?;
        Ok(Self { binding, capacity })
    }
}

fn open(model: &ModelDir, options: SessionOptions) -> Result<(Session, Placement), SessionError> {
    let load_error = |source| SessionError::Load {
        path: model.graph(),
        source,
    };
    let on_cpu = |reason| {
        let session = builder(options).and_then(|mut builder| {
            Ok(builder
                .commit_from_file(model.graph())
                .map_err(load_error)?)
        })?;
        Ok((
            session,
            Placement {
                device: Device::Cpu,
                reason,
            },
        ))
    };
    match options.device {
        Device::Cpu => on_cpu(None),
        Device::Auto => match open_on_gpu(model, options) {
            Ok(session) => Ok((
                session,
                Placement {
                    device: Device::Cuda,
                    reason: None,
                },
            )),
            Err(SessionError::NoGpu { reason }) => on_cpu(Some(reason)),
            Err(error) => Err(error),
        },
        Device::Cuda => {
            let session = open_on_gpu(model, options)?;
            Ok((
                session,
                Placement {
                    device: Device::Cuda,
                    reason: None,
                },
            ))
        }
    }
}

fn open_on_gpu(model: &ModelDir, options: SessionOptions) -> Result<Session, SessionError> {
    let no_gpu = |reason: String| SessionError::NoGpu { reason };
    let builder = builder(options)?;
    if !ep::CUDA::is_available()? {
        return Err(no_gpu(
            "the ONNX Runtime library is a build without CUDA".to_owned(),
        ));
    }
    // Without `error_on_failure` a GPU that does not work would silently be the CPU.
    let provider = ep::CUDA::default()
        .with_device_id(0)
        .build()
        .error_on_failure();
    let mut builder = builder
        .with_execution_providers([provider])
        .map_err(|error| no_gpu(error.to_string()))?;
    builder
        .commit_from_file(model.graph())
        .map_err(|error| no_gpu(error.to_string()))
}

fn builder(options: SessionOptions) -> Result<SessionBuilder, SessionError> {
    let environment = runtime::environment()?;
    let threads = options
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, NonZero::get);
    let configure = || -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?;
        Ok(builder)
    };
    Ok(configure()?)
}
