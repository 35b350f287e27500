//! Opens a graph on the wanted device, or on the CPU with the reason why.

use std::{num::NonZero, path::Path, thread};

use ort::{
    ep::{self, ExecutionProvider as _},
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use super::{SessionError, SessionOptions, attention, runtime};
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

pub(super) fn open(
    graph: &Path,
    options: SessionOptions,
) -> Result<(Session, Placement), SessionError> {
    let on_cpu = |reason| {
        let builder = builder(options)?;
        let session = open_on_cpu(graph, builder).map_err(|source| SessionError::Load {
            path: graph.to_owned(),
            source,
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
        Device::Auto => match open_on_gpu(graph, options) {
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
            let session = open_on_gpu(graph, options)?;
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

fn open_on_cpu(graph: &Path, mut builder: SessionBuilder) -> ort::Result<Session> {
    let Some(replaced) = attention::replace(graph) else {
        return builder.commit_from_file(graph);
    };
    // A graph in memory has no folder of its own to find its weights in.
    let folder = graph.parent().unwrap_or(graph).to_string_lossy();
    builder
        .with_operators(attention::domain()?)?
        .with_config_entry(WEIGHTS_FOLDER, folder)?
        .commit_from_memory(&replaced)
}

fn open_on_gpu(graph: &Path, options: SessionOptions) -> Result<Session, SessionError> {
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
        .commit_from_file(graph)
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
