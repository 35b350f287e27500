//! The whole program: from arguments to a running operator.

use std::{path::PathBuf, sync::Arc, time::Duration};

use kube::{Client, Config, client::ClientBuilder};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    args::Args,
    context::Context,
    controllers,
    environment::Environment,
    health::{self, Health, State},
    leader::Elector,
    metrics::Metrics,
    scope::Scope,
    telemetry,
    world::World,
};

/// Signs of life without an election, which gives them otherwise.
const BEAT: Duration = Duration::from_secs(5);

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Logs or traces.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// Neither KUBECONFIG nor a pod's service account.
    #[error("no cluster found: set KUBECONFIG, or run in a pod with a service account")]
    Config(#[source] kube::config::InferConfigError),
    /// A cluster whose certificates or credentials cannot be used.
    #[error("failed to set up the connection to the cluster")]
    Client(#[source] kube::Error),
    /// The management address.
    #[error("failed to listen on --management-address {address}: choose a free one")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The port file.
    #[error("failed to write --port-file {}", path.display())]
    PortFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the arguments are to blame.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Telemetry(_))
    }
}

/// Run in the cluster of KUBECONFIG, or the one this pod is in, until `shutdown`.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let telemetry = telemetry::init(args.log_format, &args.log_level)?;
    let config = Config::infer().await.map_err(Error::Config)?;
    let outcome = Box::pin(run_with(config, args, shutdown)).await;
    // Blocking, while the last spans are sent. It cannot panic, and nothing is left to do if it did.
    let _ = tokio::task::spawn_blocking(move || telemetry.finish()).await;
    outcome
}

/// Run in the given cluster until `shutdown`. Sets up no logging.
pub async fn run_with(
    config: Config,
    args: Args,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Args {
        namespace,
        gateway_image,
        gateway_cuda_image,
        runbook_base,
        leader_election,
        lease_namespace,
        lease_name,
        gateway_image_pull_secrets,
        management_address,
        log_format: _,
        log_level: _,
        port_file,
    } = args;
    // One provider for every TLS connection; somebody may have chosen it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = Metrics::new();
    let health = Health::default();
    let listener = bind(management_address, port_file).await?;
    let lease_namespace = lease_namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = connect(config, &metrics)?;

    let management = Management::start(listener, &health, &metrics);
    let operator = Operator {
        client,
        scope: Scope::new(namespace),
        environment: Environment {
            image: gateway_image,
            cuda_image: gateway_cuda_image,
            image_pull_secrets: gateway_image_pull_secrets,
            runbook_base,
        },
        identity: identity(),
        metrics,
        health,
        shutdown,
    };
    if leader_election {
        Box::pin(operator.take_turns((&lease_namespace, &lease_name))).await;
    } else {
        Box::pin(operator.go_alone()).await;
    }

    management.stop().await;
    Ok(())
}

/// The server of probes and metrics.
struct Management {
    tasks: TaskTracker,
    stopped: CancellationToken,
}

impl Management {
    fn start(listener: TcpListener, health: &Health, metrics: &Metrics) -> Self {
        let tasks = TaskTracker::new();
        let stopped = CancellationToken::new();
        let (health, metrics) = (health.clone(), metrics.clone());
        tasks.spawn(serve(listener, health, metrics, stopped.clone()));
        Self { tasks, stopped }
    }

    async fn stop(self) {
        self.stopped.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[derive(Clone)]
struct Operator {
    client: Client,
    scope: Scope,
    environment: Environment,
    identity: String,
    metrics: Metrics,
    health: Health,
    shutdown: CancellationToken,
}

impl Operator {
    /// Reconcile while holding the Lease, until shutdown.
    async fn take_turns(self, lease: (&str, &str)) {
        let (client, identity) = (self.client.clone(), self.identity.clone());
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        let shutdown = self.shutdown.clone();
        Elector::new(client, lease, &identity, health, metrics)
            .run(move || self.clone().reconcile(), &shutdown)
            .await;
    }

    /// Reconcile until shutdown, whoever else may.
    async fn go_alone(self) {
        self.metrics.set_leader(true);
        let health = self.health.clone();
        let mut beats = tokio::time::interval(BEAT);
        let beating = async {
            loop {
                beats.tick().await;
                health.beat();
            }
        };
        tokio::select! {
            () = self.reconcile() => {}
            () = beating => {}
        }
    }

    /// Reconcile until shutdown. Everything is listed anew, so nothing that another leader wrote is missed.
    async fn reconcile(self) {
        let (world, writers) = World::new();
        let context = Arc::new(Context::new(
            self.client,
            world.clone(),
            self.environment,
            self.metrics,
            &self.identity,
        ));
        let health = self.health;
        let ready = async {
            if world.wait_until_ready().await {
                health.set(State::Leading);
                tracing::info!("everything is listed; reconciling");
            }
        };
        let work = controllers::run(context, writers, self.scope, self.shutdown);
        futures::join!(work, ready);
    }
}

async fn bind(
    address: std::net::SocketAddr,
    port_file: Option<PathBuf>,
) -> Result<TcpListener, Error> {
    let fail = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    if let Some(path) = port_file {
        let port = listener.local_addr().map_err(fail)?.port();
        let written = write_whole(&path, &port.to_string()).await;
        written.map_err(|source| Error::PortFile { path, source })?;
    }
    Ok(listener)
}

/// Whoever waits for the file shall never read half of it.
async fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension("tmp");
    tokio::fs::write(&draft, text).await?;
    tokio::fs::rename(&draft, path).await
}

fn connect(config: Config, metrics: &Metrics) -> Result<Client, Error> {
    let builder = ClientBuilder::try_from(config).map_err(Error::Client)?;
    Ok(builder.with_layer(&metrics.count_writes()).build())
}

async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    stopped: CancellationToken,
) {
    let router = health::router(health, metrics);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stopped.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(
            error = crate::error::chain(&error),
            "the management address is served no more"
        );
    }
}

fn identity() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    identity_of(variable("POD_NAME"), variable("HOSTNAME"), rand::random())
}

/// Unlike any other process that runs, and telling for people.
///
/// In a pod the pod's name is enough: its container starts again only after the one before has ended, so that a leader
/// which crashed finds its own Lease and goes on at once, where with another name it would have to wait the Lease out.
/// Elsewhere many processes may run on one host.
fn identity_of(pod: Option<String>, host: Option<String>, random: u64) -> String {
    pod.unwrap_or_else(|| {
        let host = host.unwrap_or_else(|| "claw-operator".to_owned());
        format!("{host}_{random:016x}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pod: Option<&str>, host: Option<&str>) -> String {
        identity_of(pod.map(str::to_owned), host.map(str::to_owned), 0xab)
    }

    #[test]
    fn a_pod_keeps_its_identity_when_its_container_starts_again() {
        assert_eq!(identity(Some("claw-1"), Some("claw-1")), "claw-1");
    }

    #[test]
    fn processes_of_one_host_differ() {
        assert_eq!(identity(None, Some("laptop")), "laptop_00000000000000ab");
        assert_eq!(identity(None, None), "claw-operator_00000000000000ab");
    }
}
