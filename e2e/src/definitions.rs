//! The project's custom resource definitions, installed as a user installs them.

use std::path::{Path, PathBuf};

use crate::kubectl::{self, Kubectl};

/// Why they are not installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be written.
    #[error("failed to write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The API server refuses them, or does not serve them in time.
    #[error("failed to apply the custom resource definitions")]
    Apply(#[source] kubectl::Error),
}

/// Install the definitions and wait until the API server serves them. The files are left in `directory`.
pub async fn install(kubectl: &Kubectl, directory: &Path) -> Result<(), Error> {
    let manifests = directory.join("crds");
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| Error::Write { path, source }
    };
    std::fs::create_dir_all(&manifests).map_err(failed(&manifests))?;
    for (name, yaml) in claw_crds::crd_yaml::files() {
        let path = manifests.join(name);
        std::fs::write(&path, yaml).map_err(failed(&path))?;
    }
    kubectl.apply_path(&manifests).await.map_err(Error::Apply)?;
    let names = claw_crds::crd_yaml::definitions()
        .map(|definition| definition.metadata.name.unwrap_or_default());
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
    ];
    let arguments = wait.into_iter().chain(names.iter().map(String::as_str));
    let waited = kubectl.run(arguments).await;
    waited.map(drop).map_err(Error::Apply)
}
