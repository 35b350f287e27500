//! Where the tests run: a control plane of their own, or a cluster that exists already.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{
    control_plane::{self, Audit, ControlPlane, Pace, client_from},
    definitions,
    kubectl::Kubectl,
    node::{self, Node},
    tools::{self, Tools},
};

/// Set to 1, the cluster of `KUBECONFIG` is used. Tests create namespaces, cluster roles and the project's custom
/// resource definitions there, hence never without being asked.
pub const USE_KUBECONFIG_VARIABLE: &str = "CLAW_E2E_USE_KUBECONFIG";

/// What tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An API server with controllers; no container runs.
    ControlPlane,
    /// All of it, with a node that runs containers.
    Node,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wish for an existing cluster lacks its address.
    #[error(
        "{USE_KUBECONFIG_VARIABLE}=1 needs KUBECONFIG: set it to the file of a cluster that tests may change"
    )]
    NoKubeconfig,
    /// No place for the control plane's files.
    #[error("failed to make a temporary directory")]
    TemporaryDirectory(#[source] std::io::Error),
    /// No programs.
    #[error("failed to get the programs of a control plane")]
    Tools(#[source] tools::Error),
    /// The existing cluster does not take the definitions.
    #[error("failed to install the custom resource definitions")]
    Definitions(#[source] definitions::Error),
    /// No control plane.
    #[error("failed to start a control plane")]
    ControlPlane(#[source] control_plane::Error),
    /// No node.
    #[error("failed to start a node")]
    Node(#[source] node::Error),
}

/// A cluster to test on.
#[derive(Debug)]
pub struct Cluster {
    // Ended before its directory goes.
    control_plane: Option<ControlPlane>,
    node: Option<Node>,
    directory: TempDir,
    kubeconfig: PathBuf,
    kubectl: Kubectl,
}

impl Cluster {
    /// A control plane of our own, unless the environment asks for an existing cluster; or a node, always our own.
    pub async fn start(kind: Kind, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let directory = tempfile::Builder::new()
            .prefix("claw-e2e-")
            .tempdir()
            .map_err(Error::TemporaryDirectory)?;
        if kind == Kind::Node {
            let node = Node::start(progress).await.map_err(Error::Node)?;
            return Ok(Self {
                kubeconfig: node.kubeconfig().to_owned(),
                kubectl: node.kubectl(),
                control_plane: None,
                node: Some(node),
                directory,
            });
        }
        if std::env::var_os(USE_KUBECONFIG_VARIABLE).is_some_and(|value| value == "1") {
            return Self::existing(directory, progress).await;
        }
        let tools = Tools::find_or_build(progress).map_err(Error::Tools)?;
        let control_plane = ControlPlane::start(&tools, directory.path(), progress)
            .await
            .map_err(Error::ControlPlane)?;
        Ok(Self {
            kubeconfig: control_plane.kubeconfig().to_owned(),
            kubectl: control_plane.kubectl(),
            control_plane: Some(control_plane),
            node: None,
            directory,
        })
    }

    async fn existing(directory: TempDir, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let kubeconfig = std::env::var_os("KUBECONFIG")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .ok_or(Error::NoKubeconfig)?;
        progress(&format!("using the cluster of {}", kubeconfig.display()));
        let kubectl = Kubectl::new(Path::new("kubectl"), &kubeconfig);
        definitions::install(&kubectl, directory.path())
            .await
            .map_err(Error::Definitions)?;
        Ok(Self {
            control_plane: None,
            node: None,
            directory,
            kubectl,
            kubeconfig,
        })
    }

    /// A place for files of the tests; gone with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The administrator's `kubectl`.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// An administrator's client. Each async runtime needs one of its own.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        client_from(&self.kubeconfig)
            .await
            .map_err(control_plane::Error::Kubeconfig)
            .map_err(Error::ControlPlane)
    }

    /// Start the controllers of Kubernetes anew, at another pace. A cluster that exists already keeps its own.
    pub async fn restart_controllers(&mut self, pace: Pace) -> Result<(), Error> {
        match &mut self.control_plane {
            Some(control_plane) => control_plane.restart_controllers(pace).await,
            None => Ok(()),
        }
        .map_err(Error::ControlPlane)
    }

    /// Who wrote what; only our own control plane tells.
    pub fn audit(&self) -> Option<&Audit> {
        let of_node = self.node.as_ref().map(Node::audit);
        self.control_plane
            .as_ref()
            .map(ControlPlane::audit)
            .or(of_node)
    }

    /// The node, if there is one.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }
}
