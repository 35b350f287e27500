//! What the flags amount to, checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::{AuthConfig, ModelPoolConfig, OutboundConfig};

use crate::args::{Environment, GatewayArgs, OutboundArgument, TimeoutArgs};
use crate::config::prepare;
use crate::config::source::{
    Draft, ManifestsSource, Overlay, QuickStart, Reader, Source, TlsFiles,
};
use crate::exit::Failure;

/// A gateway to run.
pub(super) struct Plan {
    pub(super) reader: Arc<Reader>,
    pub(super) public: SocketAddr,
    pub(super) management: Option<SocketAddr>,
    pub(super) max_workers: Option<NonZero<usize>>,
    pub(super) state_dir: PathBuf,
    pub(super) inference_threads: Option<NonZero<usize>>,
    pub(super) cpu_capacity: Option<f64>,
    pub(super) shutdown_grace: Duration,
    pub(super) ready_within: Option<Duration>,
    pub(super) port_file: Option<PathBuf>,
    pub(super) timeouts: TimeoutArgs,
}

impl Plan {
    pub(super) fn new(args: GatewayArgs, environment: Environment) -> Result<Self, Failure> {
        refuse_contradictions(&args, &environment)?;
        // Whole, so that a flag that nobody reads is a warning of the compiler.
        let GatewayArgs {
            port,
            bind,
            verbose: _,
            log_format: _,
            max_workers,
            tls_cert,
            tls_key,
            rate_limit,
            health_check,
            management_port,
            manifests,
            gateway,
            routes,
            model,
            model_task,
            config,
            config_secret,
            namespace,
            api_key_file,
            allow_anonymous,
            allow_outbound,
            audit,
            state_dir,
            models_dir,
            model_memory,
            model_disk,
            offline,
            inference_threads,
            cpu_capacity,
            shutdown_grace,
            ready_within,
            port_file,
            timeouts,
        } = args;
        let state_dir = state_dir.unwrap_or_else(|| environment.state_dir());
        let also_allowed = outbound_config(allow_outbound);
        let bind = bind.unwrap_or_else(|| default_address(!model.is_empty()));
        let source = match (manifests, config, config_secret) {
            (Some(directory), ..) => Source::Manifests(ManifestsSource {
                directory,
                gateway,
                routes,
                state_dir: state_dir.clone(),
                also_allowed: also_allowed.clone(),
            }),
            (_, Some(path), _) => Source::File(path),
            (.., Some(name)) => Source::Secret { namespace, name },
            (None, None, None) => Source::QuickStart(QuickStart {
                models: model,
                tasks: model_task,
                upstream_key: environment.upstream_key,
                routes,
            }),
        };
        let overlay = Overlay {
            tls: tls_files(tls_cert, tls_key),
            requests_per_second: rate_limit.map(NonZero::get),
            api_key_file,
            api_key: environment.api_key,
            allow_anonymous,
            also_allowed,
            audit,
            model_pool: model_pool(model_memory, model_disk, offline),
        };
        let models_dir = models_dir.unwrap_or_else(|| state_dir.join("models"));
        Ok(Self {
            reader: Arc::new(Reader::new(source, overlay, models_dir)),
            public: SocketAddr::new(bind, port),
            management: health_check.then(|| SocketAddr::new(bind, management_port)),
            max_workers,
            state_dir,
            inference_threads,
            cpu_capacity: cpu_capacity.map(|thousandths| f64::from(thousandths.get()) / 1000.0),
            shutdown_grace,
            ready_within,
            port_file,
            timeouts,
        })
    }

    /// The first configuration, checked whole; `None` where it comes from a cluster, in its own time.
    pub(super) fn first_draft(&self) -> Result<Option<Draft>, Failure> {
        if matches!(self.reader.source, Source::Secret { .. }) {
            return Ok(None);
        }
        let draft = self.reader.read()?;
        if matches!(self.reader.source, Source::QuickStart(_))
            && matches!(&draft.config.auth, AuthConfig::ApiKeys(keys) if keys.is_empty())
        {
            return Err(Failure::Usage(
                "nobody could call: give API keys by --api-key-file or CLAWDBOT_API_KEY, or let everyone in by \
                 --allow-anonymous"
                    .to_owned(),
            ));
        }
        prepare(&draft.origin, draft.config.clone())?;
        Ok(Some(draft))
    }
}

fn model_pool(memory: Option<u64>, disk: Option<u64>, offline: bool) -> ModelPoolConfig {
    ModelPoolConfig {
        memory_bytes: memory,
        disk_bytes: disk,
        offline,
    }
}

fn tls_files(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Option<TlsFiles> {
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn outbound_config(allowed: Vec<OutboundArgument>) -> OutboundConfig {
    let mut config = OutboundConfig::default();
    for argument in allowed {
        match argument {
            OutboundArgument::Range(range) => drop(config.allowed_cidrs.insert(range)),
            OutboundArgument::Host(host) => drop(config.allowed_hosts.insert(host)),
        }
    }
    config
}

/// What each flag may say, but not together.
fn refuse_contradictions(args: &GatewayArgs, environment: &Environment) -> Result<(), Failure> {
    if args.allow_anonymous && environment.api_key.is_some() {
        return Err(Failure::Usage(
            "--allow-anonymous: CLAWDBOT_API_KEY is set, which asks for a key; unset one of them"
                .to_owned(),
        ));
    }
    let port = args.port;
    if args.health_check && port == args.management_port && port != 0 {
        return Err(Failure::Usage(format!(
            "--management-port {port}: the same as --port; choose another"
        )));
    }
    Ok(())
}

/// One machine's models are for that machine, unless its user says otherwise; a gateway is for all.
fn default_address(is_quick_start: bool) -> IpAddr {
    IpAddr::V4(if is_quick_start {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    })
}
