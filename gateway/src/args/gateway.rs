//! Flags of `clawdbot gateway`.

use std::net::IpAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args};
use claw_crds::gateway_config::Redacted;
use claw_crds::quantity::Quantity;

use super::{ModelArgument, OutboundArgument, TaskArgument, TimeoutArgs};
use crate::telemetry::LogFormat;

/// Flags of `clawdbot gateway`. What is served comes from exactly one of --manifests, --model, --config and
/// --config-secret.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, and all of them may be given together"
)]
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["manifests", "model", "config", "config_secret"])))]
pub struct GatewayArgs {
    /// Port of the API and the channels; 0 takes a free one.
    #[arg(long, default_value_t = claw_crds::GATEWAY_PORT, env = "CLAWDBOT_PORT")]
    pub port: u16,
    /// Address to listen on. Default: 127.0.0.1 with --model, otherwise 0.0.0.0.
    #[arg(long, value_name = "ADDRESS", env = "CLAWDBOT_BIND")]
    pub bind: Option<IpAddr>,
    /// Whether debug lines are logged. Default: false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true",
          action = ArgAction::Set, env = "CLAWDBOT_VERBOSE")]
    pub verbose: bool,
    /// Shape of the log on standard error: json, text, or text at a terminal and json otherwise.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto, env = "CLAWDBOT_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Threads that serve requests. Default: one for each processor.
    #[arg(long, value_name = "N", env = "CLAWDBOT_MAX_WORKERS")]
    pub max_workers: Option<NonZero<usize>>,
    /// Serving certificate, PEM with the leaf first; replaces the configured one and is watched.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        env = "CLAWDBOT_TLS_CERT"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the serving certificate, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        env = "CLAWDBOT_TLS_KEY"
    )]
    pub tls_key: Option<PathBuf>,
    /// Requests per second for each caller; replaces the configured limit. Default: as configured.
    #[arg(long, value_name = "N", env = "CLAWDBOT_RATE_LIMIT")]
    pub rate_limit: Option<NonZero<u32>>,
    /// Whether the management port with probes, metrics and status is opened. Default: true.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true",
          action = ArgAction::Set, env = "CLAWDBOT_HEALTH_CHECK")]
    pub health_check: bool,
    /// Management port; 0 takes a free one. Keep it away from users.
    #[arg(long, default_value_t = claw_crds::MANAGEMENT_PORT, env = "CLAWDBOT_MANAGEMENT_PORT")]
    pub management_port: u16,
    /// Folder with ClawGateway, ModelRoute, Channel and Secret objects as YAML files; watched.
    #[arg(long, value_name = "DIR", env = "CLAWDBOT_MANIFESTS")]
    pub manifests: Option<PathBuf>,
    /// Which ClawGateway of the manifests to serve. Default: the only one.
    #[arg(
        long,
        value_name = "NAME",
        requires = "manifests",
        env = "CLAWDBOT_GATEWAY"
    )]
    pub gateway: Option<String>,
    /// Routing file with a plain `routes:` list, watched; its rules come before those of the manifests.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "config_secret"], env = "CLAWDBOT_ROUTES")]
    pub routes: Option<PathBuf>,
    /// A model to serve without manifests, repeatable: a GGUF file, an imported directory, or the base URL of an
    /// OpenAI-compatible API, whose key is taken from CLAWDBOT_UPSTREAM_KEY.
    #[arg(long, value_name = "NAME=PATH_OR_URL")]
    pub model: Vec<ModelArgument>,
    /// What a model of --model behind a URL does, repeatable: Chat, Summarize, Embed or Rerank. It decides the body of
    /// its routes' own paths. Default: Chat.
    #[arg(long, value_name = "NAME=TASK", requires = "model")]
    pub model_task: Vec<TaskArgument>,
    /// A rendered configuration (config.json), watched.
    #[arg(long, value_name = "FILE", env = "CLAWDBOT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Name of the Secret with the rendered configuration, watched through the Kubernetes API: the cluster the
    /// process runs in, or KUBECONFIG.
    #[arg(long, value_name = "NAME", env = "CLAWDBOT_CONFIG_SECRET")]
    pub config_secret: Option<String>,
    /// Namespace of the Secret. Default: that of the Kubernetes configuration.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// File of API keys, one a line, watched; they are valid besides the configured ones. A single key may come from
    /// the environment instead, in CLAWDBOT_API_KEY.
    #[arg(long, value_name = "FILE", env = "CLAWDBOT_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Let everyone in, with or without a key. Only for networks where everyone may.
    #[arg(long, conflicts_with = "api_key_file")]
    pub allow_anonymous: bool,
    /// What remote models, downloads and channels may call besides public addresses and what the configuration allows,
    /// repeatable or with commas: a range such as 10.0.0.0/8, an address, or the name of a host.
    #[arg(
        long,
        value_name = "RANGE_OR_HOST",
        value_delimiter = ',',
        env = "CLAWDBOT_ALLOW_OUTBOUND"
    )]
    pub allow_outbound: Vec<OutboundArgument>,
    /// Keep an audit log in the state directory, also where the configuration asks for none; see
    /// `clawdbot audit --help`.
    #[arg(long, env = "CLAWDBOT_AUDIT")]
    pub audit: bool,
    /// Folder for downloads, imports and self-signed certificates. Default: $XDG_DATA_HOME/clawdbot or
    /// ~/.local/share/clawdbot, and /var/lib/clawdbot without a home.
    #[arg(long, value_name = "DIR", env = "CLAWDBOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where relative model paths of manifests begin. Default: `models` in the state directory.
    #[arg(long, value_name = "DIR", env = "CLAWDBOT_MODELS_DIR")]
    pub models_dir: Option<PathBuf>,
    /// Memory for the local models that are loaded at one time, e.g. 12Gi; replaces the configured budget. Default: as
    /// configured, else no limit but that of the control group.
    #[arg(long, value_name = "BYTES", value_parser = bytes, env = "CLAWDBOT_MODEL_MEMORY")]
    pub model_memory: Option<u64>,
    /// Disk space for fetched and imported models, e.g. 80Gi; replaces the configured budget. Default: as configured,
    /// else no limit.
    #[arg(long, value_name = "BYTES", value_parser = bytes, env = "CLAWDBOT_MODEL_DISK")]
    pub model_disk: Option<u64>,
    /// Fetch no model: only what is in the state directory already is used.
    #[arg(long, env = "CLAWDBOT_OFFLINE")]
    pub offline: bool,
    /// Threads of one local generation. Default: the processors that the control group leaves this process.
    #[arg(long, value_name = "N", env = "CLAWDBOT_INFERENCE_THREADS")]
    pub inference_threads: Option<NonZero<usize>>,
    /// Processors meant for this process, in thousandths, as Kubernetes tells a container's request; CPU use is
    /// measured against it. Default: the control group's quota, else all processors.
    #[arg(long, value_name = "THOUSANDTHS", env = "CLAWDBOT_CPU_CAPACITY")]
    pub cpu_capacity: Option<NonZero<u32>>,
    /// How long requests under way may take after SIGTERM or SIGINT.
    #[arg(long, visible_alias = "grace-period", value_name = "DURATION", default_value = "30s",
          value_parser = humantime::parse_duration, env = "CLAWDBOT_SHUTDOWN_GRACE")]
    pub shutdown_grace: Duration,
    /// End with code 75 unless ready within this time, models included. Default: wait as long as it takes.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, env = "CLAWDBOT_READY_WITHIN")]
    pub ready_within: Option<Duration>,
    /// Write the bound addresses here as JSON, {"gateway": "…", "management": "…"}, once they are open.
    #[arg(long, value_name = "FILE", env = "CLAWDBOT_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// How long is waited for answers.
    #[command(flatten)]
    pub timeouts: TimeoutArgs,
}

/// A number of bytes, as Kubernetes writes it.
fn bytes(text: &str) -> Result<u64, String> {
    Quantity::from(text)
        .whole()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "not a number of bytes: give one such as 12Gi or 500M".to_owned())
}

/// Credentials, which are no flags: a command line is seen by every user of the machine.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `CLAWDBOT_API_KEY`.
    pub api_key: Option<Redacted>,
    /// `CLAWDBOT_UPSTREAM_KEY`.
    pub upstream_key: Option<Redacted>,
    /// `XDG_DATA_HOME`, or what it is by default.
    pub data_home: Option<PathBuf>,
}

impl Environment {
    /// Read the process's environment.
    pub fn read() -> Self {
        let secret = |name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .map(Redacted::new)
        };
        let folder = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            api_key: secret("CLAWDBOT_API_KEY"),
            upstream_key: secret("CLAWDBOT_UPSTREAM_KEY"),
            data_home: folder("XDG_DATA_HOME")
                .or_else(|| folder("HOME").map(|home| home.join(".local/share"))),
        }
    }

    /// Where state is kept by default.
    pub fn state_dir(&self) -> PathBuf {
        self.data_home.as_ref().map_or_else(
            || PathBuf::from("/var/lib/clawdbot"),
            |home| home.join("clawdbot"),
        )
    }
}
