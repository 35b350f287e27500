//! Opens a graph on the wanted device, or on the CPU with the reason why.

use std::{num::NonZero, path::Path, thread};

use ort::{
    ep::{self, ExecutionProvider as _, cuda::AttentionBackend},
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use super::{
    SessionError, SessionOptions, half,
    operators::{self, SharedRun},
    runtime,
};
use crate::device::Device;

/// The setting of ONNX Runtime that says where a graph's data files are.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// Where a model runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The device it runs on: `Cpu` or `Cuda`.
    pub device: Device,
    /// Why it is not the better one.
    pub reason: Option<String>,
}

/// Opens a graph as it is.
pub(super) fn open(
    graph: &Path,
    options: SessionOptions,
) -> Result<(Session, Placement), SessionError> {
    let commit = |mut builder: SessionBuilder| builder.commit_from_file(graph);
    open_with(graph, options, commit, commit)
}

/// Opens a text encoder, on the CPU with our own operators where these know the graph's.
pub(super) fn open_encoder(
    graph: &Path,
    options: SessionOptions,
) -> Result<(Session, Placement), SessionError> {
    let on_gpu = |mut builder: SessionBuilder| builder.commit_from_file(graph);
    let otherwise = |mut builder: SessionBuilder| match operators::rewrite_encoder(graph) {
        Some(model) => {
            let operators = operators::encoder_domain(threads(options))?;
            commit(builder.with_operators(operators)?, graph, &model)
        }
        None => builder.commit_from_file(graph),
    };
    open_with(graph, options, on_gpu, otherwise)
}

/// A graph in memory has no folder of its own to find its weights in.
fn commit(builder: SessionBuilder, graph: &Path, model: &[u8]) -> ort::Result<Session> {
    let folder = graph.parent().unwrap_or(graph);
    builder
        .with_config_entry(WEIGHTS_FOLDER, folder.to_string_lossy())?
        .commit_from_memory(model)
}

/// What of an opened decoder is ours.
#[derive(Default)]
pub(super) struct Own {
    /// Where its attention finds the caches, if that is ours.
    pub(super) run: Option<SharedRun>,
    /// Whether all products are.
    pub(super) products: bool,
}

/// Opens a decoder: on the CPU with our own operators where these know the graph's, on a GPU with 16 bit floats where we know
/// all of the graph's operators.
pub(super) fn open_decoder(
    graph: &Path,
    options: SessionOptions,
) -> Result<(Session, Placement, Own), SessionError> {
    let mut own = Own::default();
    let folder = graph.parent().unwrap_or(graph);
    let on_gpu = |mut builder: SessionBuilder| match half::rewrite(graph) {
        Some(model) => commit(builder, graph, &model),
        None => builder.commit_from_file(graph),
    };
    let otherwise = |mut builder: SessionBuilder| {
        let Some(rewritten) = operators::rewrite(graph) else {
            return builder.commit_from_file(graph);
        };
        let run = SharedRun::default();
        let operators = operators::domain(&run, rewritten.chains, folder, threads(options))?;
        own = Own {
            run: rewritten.has_own_attention.then_some(run),
            products: rewritten.has_own_products,
        };
        commit(builder.with_operators(operators)?, graph, &rewritten.model)
    };
    let (session, placement) = open_with(graph, options, on_gpu, otherwise)?;
    Ok((session, placement, own))
}

/// Opens a graph that is in memory, on that device only.
pub(super) fn open_bytes(model: &[u8], options: SessionOptions) -> Result<Session, SessionError> {
    let mut builder = match options.device {
        Device::Cuda => builder_on_gpu(options)?,
        Device::Auto | Device::Cpu => builder(options)?,
    };
    Ok(builder.commit_from_memory(model)?)
}

fn open_with(
    graph: &Path,
    options: SessionOptions,
    on_gpu: impl FnOnce(SessionBuilder) -> ort::Result<Session>,
    otherwise: impl FnOnce(SessionBuilder) -> ort::Result<Session>,
) -> Result<(Session, Placement), SessionError> {
    let reason = if options.device == Device::Cpu {
        None
    } else {
        let opened = builder_on_gpu(options).and_then(|builder| {
            on_gpu(builder).map_err(|error| SessionError::NoGpu {
                reason: error.to_string(),
            })
        });
        match opened {
            Ok(session) => {
                let placement = Placement {
                    device: Device::Cuda,
                    reason: None,
                };
                return Ok((session, placement));
            }
            Err(SessionError::NoGpu { reason }) if options.device == Device::Auto => Some(reason),
            Err(error) => return Err(error),
        }
    };
    let session = otherwise(builder(options)?).map_err(|source| SessionError::Load {
        path: graph.to_owned(),
        source,
    })?;
    let placement = Placement {
        device: Device::Cpu,
        reason,
    };
    Ok((session, placement))
}

fn builder_on_gpu(options: SessionOptions) -> Result<SessionBuilder, SessionError> {
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
        // Products in 32 bits keep 32: what has to be fast is in 16.
        .with_tf32(false)
        .with_attention_backend(attention_kernels())
        .build()
        .error_on_failure();
    builder
        .with_execution_providers([provider])
        .map_err(|error| no_gpu(error.to_string()))
}

/// All but cuDNN's, which plans anew for every length of a prompt: on an H100 that takes 50 to 75 ms each time, twenty times
/// what the run itself takes.
fn attention_kernels() -> AttentionBackend {
    AttentionBackend::FLASH_ATTENTION
        | AttentionBackend::EFFICIENT_ATTENTION
        | AttentionBackend::TRT_FUSED_ATTENTION
        | AttentionBackend::TRT_FLASH_ATTENTION
        | AttentionBackend::TRT_CROSS_ATTENTION
        | AttentionBackend::TRT_CAUSAL_ATTENTION
        | AttentionBackend::MATH
}

fn builder(options: SessionOptions) -> Result<SessionBuilder, SessionError> {
    let environment = runtime::environment()?;
    let configure = || -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads(options).get())?
            .with_inter_threads(1)?;
        Ok(builder)
    };
    Ok(configure()?)
}

/// Threads for one computation.
fn threads(options: SessionOptions) -> NonZero<usize> {
    options
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZero::<usize>::MIN)
}
