//! The programs that tests start: found where `KUBEBUILDER_ASSETS` points, else built from pinned Go modules into
//! the user's cache.
//!
//! It decides where each program comes from. How one is built is in `build`; nothing here starts a program.

mod build;
pub mod cache;
mod go;
mod module;
mod tool;

use std::path::PathBuf;

pub use build::BuildError;
pub use cache::CacheError;
pub use go::GoError;
pub use module::ModuleError;
pub use tool::Tool;

/// Programs in this directory are used instead of building them, as in the Kubernetes test tool chains.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Where each program of a control plane lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Deployments, ReplicaSets, garbage collection and the like.
    pub kube_controller_manager: PathBuf,
    /// The command line.
    pub kubectl: PathBuf,
}

/// Why the programs are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pinned modules cannot be read.
    #[error("failed to read which versions are pinned")]
    Module(#[source] ModuleError),
    /// The cache cannot be used.
    #[error("failed to use the cache of built programs")]
    Cache(#[source] CacheError),
    /// No usable Go.
    #[error("failed to find a Go tool chain to build Kubernetes and its like with")]
    Go(#[source] GoError),
    /// The build failed.
    #[error("failed to build a program that the tests start")]
    Build(#[source] BuildError),
}

impl Tools {
    /// Find the programs, and build those that are missing: about ten minutes on two cores the first time, nothing
    /// after that. `progress` gets one line at a time.
    pub fn find_or_build(progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let wanted = [
            Tool::Etcd,
            Tool::KubeApiserver,
            Tool::KubeControllerManager,
            Tool::Kubectl,
        ];
        let [etcd, kube_apiserver, kube_controller_manager, kubectl] =
            Tool::find_or_build_all(wanted, progress)?;
        Ok(Self {
            etcd,
            kube_apiserver,
            kube_controller_manager,
            kubectl,
        })
    }
}
