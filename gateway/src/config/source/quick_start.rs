//! A configuration made of `--model` flags, for one machine.

use std::net::IpAddr;
use std::path::PathBuf;

use claw_crds::GatewayConfig;
use claw_crds::claw_gateway::DEFAULT_MAX_BODY_BYTES;
use claw_crds::gateway_config::{
    AuthConfig, BudgetsConfig, CallersConfig, ConversationsConfig, CredentialConfig, DeviceConfig,
    GatewayIdentity, IdentitiesConfig, LimitsConfig, LoadConfig, LocalModelConfig, LogLevel,
    ModelBackend, ModelConfig, ModelPoolConfig, OutboundConfig, ProviderConfig, QuantizationConfig,
    Redacted, RemoteModelConfig, SCHEMA_VERSION, SourceConfig, StateConfig, TaskConfig,
};
use url::{Host, Url};

use super::routes_file;
use crate::args::{ModelArgument, ModelTarget, TaskArgument};
use crate::config::ConfigError;

/// Connections of one machine's users.
const MAX_CONNECTIONS: u32 = 200;

/// Models named on the command line.
#[derive(Debug)]
pub struct QuickStart {
    /// The models.
    pub models: Vec<ModelArgument>,
    /// What some of them do; the others chat.
    pub tasks: Vec<TaskArgument>,
    /// Sent to every API among them.
    pub upstream_key: Option<Redacted>,
    /// A routing file.
    pub routes: Option<PathBuf>,
}

impl QuickStart {
    /// Nobody is let in by it; keys come from the overlay.
    pub(super) fn config(&self) -> Result<GatewayConfig, ConfigError> {
        self.check_tasks()?;
        let models: Vec<_> = self.models.iter().map(|model| self.model(model)).collect();
        let routes = self
            .routes
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |path| routes_file::read(path, &models))?;
        Ok(GatewayConfig {
            schema_version: SCHEMA_VERSION,
            gateway: GatewayIdentity {
                namespace: "default".into(),
                name: "standalone".into(),
            },
            models,
            routes,
            channels: Vec::new(),
            auth: AuthConfig::ApiKeys(Vec::new()),
            tls: None,
            limits: LimitsConfig {
                requests_per_second: None,
                max_connections: MAX_CONNECTIONS,
                max_body_bytes: DEFAULT_MAX_BODY_BYTES,
                budgets: BudgetsConfig::default(),
            },
            device: DeviceConfig::Auto,
            model_pool: ModelPoolConfig::default(),
            outbound: self.outbound(),
            audit: None,
            log_level: LogLevel::default(),
            state: StateConfig::default(),
            conversations: ConversationsConfig::default(),
            callers: CallersConfig::default(),
            identities: IdentitiesConfig::default(),
        })
    }

    /// Whoever types a URL with an address, or with localhost, means it.
    fn outbound(&self) -> OutboundConfig {
        let mut outbound = OutboundConfig::default();
        let urls = self.models.iter().filter_map(|model| match &model.target {
            ModelTarget::Url(url) => Url::parse(url).ok(),
            ModelTarget::Path(_) => None,
        });
        for url in urls {
            match url.host() {
                Some(Host::Ipv4(address)) => {
                    outbound.allowed_cidrs.insert(IpAddr::from(address).into());
                }
                Some(Host::Ipv6(address)) => {
                    outbound.allowed_cidrs.insert(IpAddr::from(address).into());
                }
                Some(Host::Domain(host)) if host == "localhost" => {
                    outbound.allowed_hosts.insert(host.to_owned());
                }
                Some(Host::Domain(_)) | None => {}
            }
        }
        outbound
    }

    fn model(&self, argument: &ModelArgument) -> ModelConfig {
        let backend = match &argument.target {
            ModelTarget::Path(path) => ModelBackend::Local(LocalModelConfig {
                source: SourceConfig::Path(path.to_string_lossy().into_owned()),
                quantization: match self.task(&argument.name) {
                    TaskConfig::Chat | TaskConfig::Summarize => QuantizationConfig::Int8,
                    TaskConfig::Embed | TaskConfig::Rerank => QuantizationConfig::None,
                },
                context_length: None,
                load: LoadConfig::Eager,
            }),
            ModelTarget::Url(url) => ModelBackend::Remote(RemoteModelConfig {
                provider: ProviderConfig::OpenAI,
                base_url: url.clone(),
                model: argument.name.clone(),
                api_version: None,
                credentials: self.credentials(),
            }),
        };
        ModelConfig {
            name: argument.name.clone(),
            task: self.task(&argument.name),
            backend,
        }
    }

    fn task(&self, name: &str) -> TaskConfig {
        let said = self.tasks.iter().rfind(|said| said.name == name);
        said.map_or(TaskConfig::Chat, |said| said.task)
    }

    fn check_tasks(&self) -> Result<(), ConfigError> {
        for TaskArgument { name, .. } in &self.tasks {
            let model = self.models.iter().find(|model| model.name == *name);
            let fault = match model.map(|model| &model.target) {
                Some(ModelTarget::Url(_) | ModelTarget::Path(_)) => continue,
                None => "no --model has that name",
            };
            let told = format!("--model-task {name:?}: {fault}");
            return Err(ConfigError::new("the command line", told));
        }
        Ok(())
    }

    fn credentials(&self) -> Vec<CredentialConfig> {
        let key = self.upstream_key.iter();
        key.map(|key| CredentialConfig {
            name: "env/CLAWDBOT_UPSTREAM_KEY".to_owned(),
            value: key.clone(),
        })
        .collect()
    }
}
