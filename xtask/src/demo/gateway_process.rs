//! A running gateway: started, waited for, and ended with us.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use claw_e2e::{
    process::{ChildProcess, Program},
    wait::until,
};
use serde_json::Value;

use claw_e2e::tools::cache;

use crate::{command, fetch, repository};

/// Importing and loading the model takes seconds; a busy machine gets more.
const READY_DEADLINE: Duration = Duration::from_mins(3);
const DRAIN_DEADLINE: Duration = Duration::from_secs(40);

/// A gateway that is ready.
pub(crate) struct Gateway {
    process: ChildProcess,
    public: SocketAddr,
    management: SocketAddr,
    trust: Trust,
}

/// Whom clients talk to, and why they believe it.
pub(super) struct Trust {
    /// A name in the certificate.
    pub(super) host: &'static str,
    /// The authority's certificate.
    pub(super) ca: PathBuf,
}

impl Gateway {
    /// Start `clawdbot gateway` on examples/ with the fetched model; port 0 takes free ones.
    pub(crate) fn start(port: u16) -> anyhow::Result<Self> {
        Self::start_manifests(
            &repository::root().join("examples"),
            "default-support",
            port,
        )
    }

    /// Start it on manifests of the gateway `name` (namespace and name) on a free port.
    pub(crate) fn start_on(manifests: &Path, name: &str) -> anyhow::Result<Self> {
        Self::start_manifests(manifests, name, 0)
    }

    fn start_manifests(manifests: &Path, name: &str, port: u16) -> anyhow::Result<Self> {
        let models = imported_models()?;
        let state = repository::root().join(".demo");
        let ca = state.join("certificates").join(name).join("ca-bundle.crt");
        let source = ["--manifests".into(), manifests.as_os_str().to_owned()];
        let arguments = source
            .into_iter()
            .chain(["--models-dir".into(), models.into_os_string()]);
        let trust = Trust {
            host: "localhost",
            ca,
        };
        Self::start_with(arguments.collect(), &[], port, trust)
    }

    /// Start it with what to serve, environment variables, and whom its clients trust.
    pub(super) fn start_with(
        source: Vec<std::ffi::OsString>,
        environment: &[(&str, PathBuf)],
        port: u16,
        trust: Trust,
    ) -> anyhow::Result<Self> {
        let state = repository::root().join(".demo");
        std::fs::create_dir_all(&state)?;
        let port_file = state.join(format!("ports-{}.json", std::process::id()));
        let management_port = if port == 0 {
            0
        } else {
            claw_crds::MANAGEMENT_PORT
        };
        let mut program = Program::new("clawdbot", command::binaries("debug")?.join("clawdbot"))
            .args(["gateway", "--bind", "127.0.0.1"])
            .args([
                "--port".to_owned(),
                port.to_string(),
                "--management-port".to_owned(),
                management_port.to_string(),
            ])
            .args(["--state-dir".into(), state.clone().into_os_string()])
            .args(["--port-file".into(), port_file.clone().into_os_string()])
            .args(source)
            .env("ORT_DYLIB_PATH", &fetch::all()?.runtime);
        for (name, value) in environment {
            program = program.env(name, value);
        }
        let process = program.start(&state)?;
        let outcome = super::block_on(ready(process, &port_file));
        // It may not have come to exist.
        let _ = std::fs::remove_file(&port_file);
        let (process, public, management) = outcome?;
        Ok(Self {
            process,
            public,
            management,
            trust,
        })
    }

    /// Where clients reach it.
    pub(crate) fn url(&self) -> String {
        format!("https://{}:{}", self.trust.host, self.public.port())
    }

    /// The name in its certificate.
    pub(super) fn host(&self) -> &'static str {
        self.trust.host
    }

    /// The address behind [`Self::url`].
    pub(super) fn address(&self) -> SocketAddr {
        self.public
    }

    /// What clients are to trust.
    pub(crate) fn ca_certificate(&self) -> &Path {
        &self.trust.ca
    }

    /// Port of probes, metrics and status.
    pub(super) fn management_port(&self) -> u16 {
        self.management.port()
    }

    /// Serve until Ctrl-C, then drain.
    pub(super) fn serve_until_interrupted(mut self) -> anyhow::Result<()> {
        super::block_on(async move {
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted?,
                status = async { until(Duration::MAX, async || self.process.ended()).await } => {
                    bail!("the gateway ended ({status:?}):\n{}", self.process.log_tail(20));
                }
            }
            println!("\nstopping: requests under way are finished first");
            self.process.terminate(DRAIN_DEADLINE).await?;
            Ok(())
        })
    }
}

/// The model directory that examples/ names, imported once.
pub(crate) fn imported_models() -> anyhow::Result<PathBuf> {
    let assets = fetch::all()?;
    let models = cache::directory("imported")?;
    let clawdbot = command::binaries("debug")?.join("clawdbot");
    let mut import = std::process::Command::new(clawdbot);
    import.args(["model", "import", "--update"]);
    command::run(import.arg(&assets.model).arg(models.join("smollm2")))?;
    Ok(models)
}

async fn ready(
    mut process: ChildProcess,
    port_file: &Path,
) -> anyhow::Result<(ChildProcess, SocketAddr, SocketAddr)> {
    let client = reqwest::Client::new();
    let found = until(READY_DEADLINE, async || {
        if process.ended().is_some() {
            return Some(None);
        }
        let addresses: Value = serde_json::from_slice(&std::fs::read(port_file).ok()?).ok()?;
        let address = |name: &str| {
            addresses[name]
                .as_str()
                .and_then(|address| address.parse::<SocketAddr>().ok())
        };
        let (public, management) = (address("gateway")?, address("management")?);
        let answer = client
            .get(format!("http://{management}/readyz"))
            .send()
            .await
            .ok()?;
        answer
            .status()
            .is_success()
            .then_some(Some((public, management)))
    })
    .await;
    let (public, management) = found
        .flatten()
        .with_context(|| format!("the gateway did not get ready:\n{}", process.log_tail(20)))?;
    Ok((process, public, management))
}
