//! A Kubernetes cluster of one real node on this machine: etcd, API server, controllers, scheduler, containerd, kubelet,
//! kube-proxy, cluster DNS and metrics, in network, mount and pid namespaces of their own.
//!
//! Needs root, and Linux packages that it names when they are missing. Nothing in it can reach another machine, and
//! nothing of it is left when it has ended: no process, mount, link or control group.

mod addons;
mod command;
mod component;
mod control_groups;
mod forward;
mod image;
mod lock;
mod machine;
mod namespaces;
mod network;
mod packages;
mod plan;
mod processors;
mod programs;
mod settings;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use command::CommandError;
pub use component::Component;
pub use forward::Forward;
pub use image::{Image, Storage};
use machine::Machine;
use namespaces::NetworkHandle;
pub use packages::{PackagesError, ensure as ensure_packages};
use plan::Plan;
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    control_plane::{self, Audit, client_from},
    kubectl::{self, Kubectl},
    process,
    tools::{self, Tool},
};

/// How long each step of a start may take on a machine that compiles beside it.
const DEADLINE: Duration = Duration::from_mins(3);
/// The node's name.
pub const NODE_NAME: &str = "claw-node";

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces and mounts are root's.
    #[error("a node needs root: run it as root, or leave it out (cargo xtask test --quick)")]
    NotRoot,
    /// Linux packages are missing.
    #[error("failed to get the Linux packages of a node")]
    Packages(#[source] PackagesError),
    /// Somebody else's node.
    #[error("another node runs on this machine (it holds {path}): wait for it, or end it")]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A file cannot be written or removed.
    #[error("failed to write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Programs are missing.
    #[error("failed to get the programs of a node")]
    Tools(#[source] tools::Error),
    /// Certificates, kubeconfigs.
    #[error("failed to prepare the control plane")]
    ControlPlane(#[source] control_plane::Error),
    /// A long-running program does not start.
    #[error("failed to start a program of the node")]
    Start(#[source] process::Error),
    /// A command failed.
    #[error("failed to set up the node")]
    Command(#[source] CommandError),
    /// Something never came.
    #[error("not within {DEADLINE:?}: {what}\n{log}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// The end of the logs.
        log: String,
    },
    /// A manifest was refused.
    #[error("failed to apply what every cluster has")]
    Kubectl(#[source] kubectl::Error),
    /// It was ended or never booted again.
    #[error("the node is off")]
    Off,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::File { path, source }
}

/// A running cluster of one node. Dropping it ends all of it.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order: nothing may run when the files go, and the lock goes last.
    machine: Mutex<Option<Machine>>,
    _api_server: Forward,
    network: NetworkHandle,
    plan: Plan,
    _directory: lock::StateDirectory,
    kubectl: PathBuf,
}

impl Node {
    /// Start one, with DNS and metrics ready. `progress` gets one line at a time.
    pub async fn start(progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        packages::ensure(progress).map_err(Error::Packages)?;
        let tools = plan::NodeTools::find_or_build(progress).map_err(Error::Tools)?;
        let images = addons::images(progress)?;
        let directory = lock::StateDirectory::take()?;
        let plan = Plan::make(tools, directory.path())?;
        progress("starting a node in namespaces of its own");
        let network = NetworkHandle::default();
        let api_server = Forward::start(&network, Plan::api_server_inside())
            .map_err(file_error(Path::new("a port on 127.0.0.1")))?;
        plan.write_kubeconfig(api_server.address().port())?;
        let machine = Machine::boot(&plan, &network).await?;
        let kubectl = plan.tools.kubectl.clone();
        let node = Self {
            machine: Mutex::new(Some(machine)),
            _api_server: api_server,
            network,
            plan,
            _directory: directory,
            kubectl,
        };
        addons::install(&node, &images).await?;
        Ok(node)
    }

    /// The administrator's kubeconfig, for programs outside of the namespaces.
    pub fn kubeconfig(&self) -> &Path {
        &self.plan.kubeconfig
    }

    /// The administrator's `kubectl`.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubectl, self.kubeconfig())
    }

    /// An administrator's client. Each async runtime needs one of its own.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        client_from(self.kubeconfig())
            .await
            .map_err(control_plane::Error::Kubeconfig)
            .map_err(Error::ControlPlane)
    }

    /// A place for files of the tests; gone with the node, but not with a reboot.
    pub fn directory(&self) -> &Path {
        &self.plan.files
    }

    /// Who wrote what.
    pub fn audit(&self) -> &Audit {
        &self.plan.audit
    }

    /// A loopback port of this machine that leads to an address inside, such as a Service's.
    pub fn forward(&self, inside: SocketAddr) -> Result<Forward, Error> {
        Forward::start(&self.network, inside).map_err(file_error(Path::new("a port on 127.0.0.1")))
    }

    /// Run a program inside, to its end; gives what it printed.
    pub async fn run(&self, program: &Path, arguments: &[&str]) -> Result<String, Error> {
        let wrapper = {
            let machine = self.machine().await;
            machine.as_ref().ok_or(Error::Off)?.namespaces().wrapper()
        };
        let mut command = tokio::process::Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).arg(program).args(arguments);
        command::output(command).await.map_err(Error::Command)
    }

    /// Give the node an image from an archive that `docker save` or `buildah push docker-archive:` wrote.
    pub async fn load(&self, archive: &Path) -> Result<(), Error> {
        let archive = archive.to_string_lossy();
        let import = ["--namespace", "k8s.io", "images", "import", &archive];
        self.run(Path::new("ctr"), &import).await.map(drop)
    }

    /// End a component at once, as a crash would.
    pub async fn kill(&self, component: Component) -> Result<(), Error> {
        let mut machine = self.machine().await;
        machine.as_mut().ok_or(Error::Off)?.kill(component)
    }

    /// Start a component that was killed, and wait until it is ready.
    pub async fn start_again(&self, component: Component) -> Result<(), Error> {
        let mut machine = self.machine().await;
        let machine = machine.as_mut().ok_or(Error::Off)?;
        machine.start(component, &self.plan).await
    }

    /// Crash a component and start it again.
    pub async fn restart(&self, component: Component) -> Result<(), Error> {
        self.kill(component).await?;
        self.start_again(component).await
    }

    /// Pull the plug, and boot again: every process, mount and link is gone in between, what was on disk stays.
    pub async fn reboot(&self) -> Result<(), Error> {
        let mut machine = self.machine().await;
        drop(machine.take());
        *machine = Some(Machine::boot(&self.plan, &self.network).await?);
        Ok(())
    }

    /// The end of each component's log, for failures.
    pub async fn log_tails(&self, lines: usize) -> String {
        let machine = self.machine().await;
        machine
            .as_ref()
            .map(|machine| machine.log_tails(lines))
            .unwrap_or_default()
    }

    async fn machine(&self) -> MutexGuard<'_, Option<Machine>> {
        self.machine.lock().await
    }
}

/// The programs that a node is made of and that are not Linux packages.
pub const TOOLS: [Tool; 9] = [
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kubelet,
    Tool::KubeProxy,
    Tool::Kubectl,
    Tool::Coredns,
    Tool::MetricsServer,
];
