//! The ONNX Runtime library: found, loaded and checked once a process.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Mutex,
};

use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider as _},
};
use thiserror::Error;

/// The variable that says where the library is.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Why the library is not usable.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// Nobody said where it is.
    #[error(
        "no ONNX Runtime library is configured: set {LIBRARY_VARIABLE} to the path of libonnxruntime.so, version 1.{} or newer",
        ort::MINOR_VERSION
    )]
    NotConfigured,
    /// There is no such file.
    #[error("the ONNX Runtime library {} does not exist: check {LIBRARY_VARIABLE}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// It does not load, or is too old.
    #[error("failed to load the ONNX Runtime library {}; version 1.{} or newer for this processor is needed", path.display(), ort::MINOR_VERSION)]
    Load {
        /// The path.
        path: PathBuf,
        /// What the loader says.
        source: ort::LoadDynamicError,
    },
    /// It loads and then fails to start.
    #[error("failed to start ONNX Runtime")]
    Start(#[source] ort::Error),
    /// Another library is loaded already; a process has only one.
    #[error("the ONNX Runtime library {} is loaded already; {} cannot replace it in this process", loaded.display(), path.display())]
    AlreadyLoaded {
        /// The one that is loaded.
        loaded: PathBuf,
        /// The one that was asked for.
        path: PathBuf,
    },
    /// A model was loaded before [`init`].
    #[error("ONNX Runtime is not initialized: call runtime::init first")]
    NotInitialized,
}

/// Never dropped: the library's own exit handlers crash when sessions outlive its environment.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

struct Loaded {
    path: PathBuf,
    environment: Environment,
}

/// Loads the library from `library`, or from where `ORT_DYLIB_PATH` says. Doing it again has no effect.
pub fn init(library: Option<&Path>) -> Result<(), RuntimeError> {
    let path = match library {
        Some(path) => path.to_owned(),
        None => env::var_os(LIBRARY_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .ok_or(RuntimeError::NotConfigured)?,
    };
    // A relative path would be looked up beside the executable first, which surprises whoever wrote it.
    let path = path
        .canonicalize()
        .map_err(|_| RuntimeError::NotFound { path })?;
    let mut loaded = LOADED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*loaded {
        Some(loaded) if loaded.path == path => Ok(()),
        Some(loaded) => Err(RuntimeError::AlreadyLoaded {
            loaded: loaded.path.clone(),
            path,
        }),
        None => {
            let builder = ort::init_from(&path).map_err(|source| RuntimeError::Load {
                path: path.clone(),
                source,
            })?;
            let environment = builder
                .with_name("claw")
                .with_telemetry(false)
                .build()
                .map_err(RuntimeError::Start)?;
            *loaded = Some(Loaded { path, environment });
            Ok(())
        }
    }
}

/// Whether the library is a build with CUDA, which says nothing of GPUs. [`init`] must have been called.
pub fn has_cuda() -> Result<bool, RuntimeError> {
    environment()?;
    ep::CUDA::is_available().map_err(RuntimeError::Start)
}

/// The environment that sessions are created in.
pub(super) fn environment() -> Result<Environment, RuntimeError> {
    let loaded = LOADED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    loaded
        .as_ref()
        .map(|loaded| loaded.environment.clone())
        .ok_or(RuntimeError::NotInitialized)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whether tests can run graphs. Without `ORT_DYLIB_PATH` they cannot, and `CLAW_TEST_REQUIRE_MODEL` of 1 makes that a
    /// failure.
    pub(crate) fn has_runtime() -> bool {
        let result = init(None);
        let is_required = env::var("CLAW_TEST_REQUIRE_MODEL").is_ok_and(|value| value == "1");
        assert!(result.is_ok() || !is_required, "{result:?}");
        result.is_ok()
    }

    #[test]
    fn a_missing_library_names_the_path_and_the_variable() {
        let message = init(Some(Path::new("/nonexistent/libonnxruntime.so")))
            .expect_err("missing")
            .to_string();
        assert!(
            message.contains("/nonexistent/libonnxruntime.so"),
            "{message}"
        );
        assert!(message.contains(LIBRARY_VARIABLE), "{message}");
    }
}
