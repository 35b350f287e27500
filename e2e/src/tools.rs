//! The programs of a control plane: found where `KUBEBUILDER_ASSETS` points, else built from pinned Go modules into
//! the user's cache.
//!
//! It decides where each program comes from. How one is built is in `build`; nothing here starts a program.

mod build;
pub mod cache;
mod go;
mod module;

use std::path::{Path, PathBuf};

pub use build::BuildError;
pub use cache::CacheError;
pub use go::GoError;
use module::Module;
pub use module::ModuleError;

/// A directory with these programs is used instead of building them, as in the Kubernetes test tool chains.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Where each program of the control plane lies.
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
    #[error("failed to find a Go tool chain to build etcd and Kubernetes with")]
    Go(#[source] GoError),
    /// The build failed.
    #[error("failed to build the programs of the control plane")]
    Build(#[source] BuildError),
}

impl Tools {
    /// Find the programs, and build those that are missing: about ten minutes on two cores the first time, nothing
    /// after that. `progress` gets one line at a time.
    pub fn find_or_build(progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let assets = std::env::var_os(ASSETS_VARIABLE).map(PathBuf::from);
        Self::from_assets_or_build(assets.as_deref(), progress)
    }

    fn from_assets_or_build(
        assets: Option<&Path>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, Error> {
        let [etcd] = locate(&Module::etcd(), ["etcd"], assets, progress)?;
        let names = ["kube-apiserver", "kube-controller-manager", "kubectl"];
        let [kube_apiserver, kube_controller_manager, kubectl] =
            locate(&Module::kubernetes(), names, assets, progress)?;
        Ok(Self {
            etcd,
            kube_apiserver,
            kube_controller_manager,
            kubectl,
        })
    }
}

/// The programs of one module: all from `assets` where it has them all; envtest's own bundles, say, lack the
/// controller manager, and then the rest is built.
fn locate<const N: usize>(
    module: &Module,
    names: [&str; N],
    assets: Option<&Path>,
    progress: &mut dyn FnMut(&str),
) -> Result<[PathBuf; N], Error> {
    let given = names.map(|name| {
        assets
            .map(|dir| dir.join(name))
            .filter(|path| path.is_file())
    });
    if given.iter().all(Option::is_some) {
        return Ok(given.map(|path| path.expect("all are some")));
    }
    let built = build::find_or_build(module, progress)?;
    let mut index = 0;
    Ok(given.map(|path| {
        let name = names[index];
        index += 1;
        path.unwrap_or_else(|| built.join(name))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_every_program_is_used_without_any_build() {
        let assets = tempfile::tempdir().expect("a temporary directory");
        for name in [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kubectl",
        ] {
            std::fs::write(assets.path().join(name), "").expect("writable");
        }
        let mut lines = Vec::new();
        let tools = Tools::from_assets_or_build(Some(assets.path()), &mut |line| {
            lines.push(line.to_owned());
        })
        .expect("found");
        assert_eq!(tools.etcd, assets.path().join("etcd"));
        assert_eq!(tools.kubectl, assets.path().join("kubectl"));
        assert_eq!(lines, Vec::<String>::new());
    }
}
