//! etcd, kube-apiserver and kube-controller-manager as children of this process, on free loopback ports.
//!
//! No root, no namespaces, no node: objects are stored, validated, defaulted, garbage-collected and turned into
//! ReplicaSets and pods, but no container runs. The custom resources of the project are installed before the
//! controllers start, so that the garbage collector knows them from the first second.

mod audit;
mod authority;
mod certificates;
pub(crate) mod flags;
mod kubeconfig;
mod ports;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use audit::{Audit, AuditedRequest};
pub(crate) use authority::{Pair, Subject};
pub(crate) use certificates::{CertificateFiles, Certificates, LOOPBACK, write_private};
pub use flags::Pace;
use http::Request;
pub use kubeconfig::{Credentials, client_from};

pub(crate) use ports::Ports;

use crate::{
    definitions,
    kubectl::Kubectl,
    process::{self, ChildProcess, Program},
    tools::Tools,
    wait::until,
};

/// How long one program may take to answer: generous, since a small machine may be compiling beside it.
const READY_DEADLINE: Duration = Duration::from_mins(2);
/// A port that was free may be taken by the time it is used; then everything starts again on others.
const ATTEMPTS: u32 = 3;
const LOG_LINES: usize = 15;

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file in its directory cannot be written.
    #[error("failed to write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No certificate.
    #[error("failed to issue the control plane's certificates")]
    Certificates(#[source] rcgen::Error),
    /// No free port.
    #[error("failed to find a free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
    /// A program does not start.
    #[error("failed to start the control plane")]
    Start(#[source] process::Error),
    /// A program ended at once or never answered.
    #[error("{program} did not get ready: {why}\n{log}")]
    NotReady {
        /// Which one.
        program: &'static str,
        /// Ended, or silent.
        why: String,
        /// The end of the logs.
        log: String,
    },
    /// The custom resource definitions were refused.
    #[error("failed to install the custom resource definitions")]
    Definitions(#[source] definitions::Error),
    /// A kubeconfig cannot be used.
    #[error("failed to make a client from the kubeconfig")]
    Kubeconfig(#[source] kubeconfig::Error),
}

/// A running control plane. Dropping it ends its programs; what they stored lies in its directory.
#[derive(Debug)]
pub struct ControlPlane {
    // Ended in this order: the store last.
    controllers: ChildProcess,
    api_server: ChildProcess,
    etcd: ChildProcess,
    controller_manager: Program,
    directory: PathBuf,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    audit: Audit,
}

impl ControlPlane {
    /// Start one with its files in `directory`, ready for use when this returns. `progress` gets one line at a time.
    pub async fn start(
        tools: &Tools,
        directory: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            let run = directory.join(format!("run-{attempt}"));
            match Self::start_once(tools, &run, progress).await {
                Err(Error::NotReady { log, .. })
                    if attempt < ATTEMPTS && log.contains("address already in use") =>
                {
                    progress("a port was taken in the meantime; trying others");
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(
        tools: &Tools,
        directory: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(|source| write_error(directory, source))?;
        let certificates = Certificates::issue(&LOOPBACK).map_err(Error::Certificates)?;
        let files = certificates.write(directory)?;
        let audit = Audit::prepare(directory)?;
        let ports = Ports::free().map_err(Error::Port)?;
        let kubeconfig = directory.join("admin.kubeconfig");
        certificates.admin_credentials(ports).write(&kubeconfig)?;

        progress("starting etcd, kube-apiserver and kube-controller-manager on 127.0.0.1");
        let launch = |program: Program| program.start(directory).map_err(Error::Start);
        let mut etcd = launch(flags::etcd(&tools.etcd, directory, &files, ports))?;
        let api_server = flags::api_server(&tools.kube_apiserver, &files, &audit, ports);
        let mut api_server = launch(flags::api_server_on_loopback(api_server))?;
        api_server_ready(&kubeconfig, &mut etcd, &mut api_server).await?;

        let kubectl = Kubectl::new(&tools.kubectl, &kubeconfig);
        definitions::install(&kubectl, directory)
            .await
            .map_err(Error::Definitions)?;
        let controllers =
            flags::controller_manager(&tools.kube_controller_manager, &kubeconfig, &files, ports);
        let controller_manager = flags::controllers_without_node(controllers);
        let controllers = flags::paced(controller_manager.clone(), Pace::Hurried);
        let mut controllers = launch(controllers)?;
        controllers_ready(&kubeconfig, &mut controllers).await?;
        Ok(Self {
            controller_manager,
            directory: directory.to_owned(),
            controllers,
            api_server,
            etcd,
            kubeconfig,
            kubectl: tools.kubectl.clone(),
            audit,
        })
    }

    /// The kubeconfig file of a user who may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client of that user.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        client_from(&self.kubeconfig)
            .await
            .map_err(Error::Kubeconfig)
    }

    /// `kubectl` for that user.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubectl, &self.kubeconfig)
    }

    /// Start the controllers of Kubernetes anew, at another pace.
    pub async fn restart_controllers(&mut self, pace: Pace) -> Result<(), Error> {
        self.controllers.kill().map_err(Error::Start)?;
        let controllers = flags::paced(self.controller_manager.clone(), pace);
        self.controllers = controllers.start(&self.directory).map_err(Error::Start)?;
        controllers_ready(&self.kubeconfig, &mut self.controllers).await
    }

    /// Who wrote what.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The end of each program's log, for failures.
    pub fn log_tails(&self, lines: usize) -> String {
        [&self.etcd, &self.api_server, &self.controllers]
            .map(|child| child.log_tail(lines))
            .join("\n")
    }
}

pub(crate) fn write_error(path: &Path, source: std::io::Error) -> Error {
    let path = path.to_owned();
    Error::Write { path, source }
}

async fn api_server_ready(
    kubeconfig: &Path,
    etcd: &mut ChildProcess,
    api_server: &mut ChildProcess,
) -> Result<(), Error> {
    let client = client_from(kubeconfig).await.map_err(Error::Kubeconfig)?;
    let ready = until(READY_DEADLINE, async || {
        let ended = etcd.ended().or_else(|| api_server.ended());
        if let Some(status) = ended {
            return Some(Err(format!("it ended with {status}")));
        }
        answers(&client, "/readyz").await.then_some(Ok(()))
    });
    let outcome = ready.await.unwrap_or_else(no_answer);
    outcome.map_err(|why| Error::NotReady {
        program: "kube-apiserver",
        why,
        log: format!(
            "{}\n{}",
            etcd.log_tail(LOG_LINES),
            api_server.log_tail(LOG_LINES)
        ),
    })
}

/// The controllers answer when a fresh namespace has its default ServiceAccount.
async fn controllers_ready(kubeconfig: &Path, controllers: &mut ChildProcess) -> Result<(), Error> {
    let client = client_from(kubeconfig).await.map_err(Error::Kubeconfig)?;
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    let ready = until(READY_DEADLINE, async || {
        if let Some(status) = controllers.ended() {
            return Some(Err(format!("it ended with {status}")));
        }
        answers(&client, account).await.then_some(Ok(()))
    });
    let outcome = ready.await.unwrap_or_else(no_answer);
    outcome.map_err(|why| Error::NotReady {
        program: "kube-controller-manager",
        why,
        log: controllers.log_tail(LOG_LINES),
    })
}

fn no_answer() -> Result<(), String> {
    Err(format!("no answer for {READY_DEADLINE:?}"))
}

pub(crate) async fn answers(client: &kube::Client, path: &str) -> bool {
    let request = Request::get(path).body(Vec::new());
    let request = request.expect("a constant path makes a request");
    client.request_text(request).await.is_ok()
}
