//! The configuration a gateway runs on: what [`crate::compile()`] produces, the operator stores in the Secret
//! `<gateway>-config`, and `clawdbot gateway` watches.
//!
//! Every reference is already resolved and every value checked, so the gateway never reads a custom resource.
//! Credentials are inside; hence a Secret, and [`Redacted`] around each.

mod audit;
mod audit_sink;
mod budget;
mod conversations;
mod grant;
mod identities;
mod local_model;
mod model_pool;
mod redacted;
mod remote;
mod route;
mod task;

use std::collections::BTreeSet;

pub use crate::claw_gateway::{JwtAlgorithm, LogLevel};
pub use audit::{AuditConfig, AuditFailureConfig};
pub use audit_sink::{
    AuditArchiveConfig, AuditHttpConfig, AuditSinkConfig, AuditTargetConfig, ClientTlsConfig,
};
pub use budget::{BudgetConfig, BudgetsConfig, ModelBudgetConfig, PricesConfig, StateConfig};
pub use conversations::ConversationsConfig;
pub use grant::GrantConfig;
pub use identities::{
    ClaimRule, ClaimTest, ClaimsConfig, ClientCertificatesConfig, IdentitiesConfig,
    IntrospectionConfig, JwksConfig, JwtConfig,
};
use ipnet::IpNet;
pub use local_model::{
    HuggingFaceConfig, LoadConfig, LocalModelConfig, ObjectsConfig, OciConfig, QuantizationConfig,
    S3Config, SourceConfig,
};
pub use model_pool::ModelPoolConfig;
pub use redacted::Redacted;
pub use remote::{CredentialConfig, ProviderConfig, RemoteModelConfig};
pub use route::{
    BackendConfig, HeaderMatchConfig, RetriesConfig, RouteConfig, TimeoutsConfig, ValueMatchConfig,
};
use serde::{Deserialize, Serialize};

pub use crate::outbound::OutboundConfig;
pub use task::TaskConfig;

/// The only schema version this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;
/// The key of the configuration in its Secret.
pub const CONFIG_KEY: &str = "config.json";

/// A whole, valid configuration of one gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayConfig {
    /// Always [`SCHEMA_VERSION`]; another value is refused, so that an old gateway never half-reads a new file.
    pub schema_version: u32,
    /// Which gateway this is, for logs and metrics.
    pub gateway: GatewayIdentity,
    /// The models, by unique name.
    pub models: Vec<ModelConfig>,
    /// The routing table; the first rule that matches a request wins.
    pub routes: Vec<RouteConfig>,
    /// The channels, by unique name.
    pub channels: Vec<ChannelConfig>,
    /// Who may call.
    pub auth: AuthConfig,
    /// The serving certificate; absent means plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// What is let in at all.
    pub limits: LimitsConfig,
    /// Where local models run.
    pub device: DeviceConfig,
    /// What local models share.
    #[serde(default, skip_serializing_if = "ModelPoolConfig::is_default")]
    pub model_pool: ModelPoolConfig,
    /// What may be called besides public addresses.
    #[serde(default, skip_serializing_if = "OutboundConfig::is_default")]
    pub outbound: OutboundConfig,
    /// The audit log; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditConfig>,
    /// What is logged; absent means the usual, so that an older gateway reads the file as well.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub log_level: LogLevel,
    /// Where is remembered what was used of the limits.
    #[serde(default, skip_serializing_if = "StateConfig::is_default")]
    pub state: StateConfig,
    /// Where conversations are kept.
    #[serde(default, skip_serializing_if = "ConversationsConfig::is_default")]
    pub conversations: ConversationsConfig,
    /// Where callers come from.
    #[serde(default, skip_serializing_if = "CallersConfig::is_default")]
    pub callers: CallersConfig,
    /// What admits callers besides API keys.
    #[serde(default, skip_serializing_if = "IdentitiesConfig::is_default")]
    pub identities: IdentitiesConfig,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_usual(level: &LogLevel) -> bool {
    *level == LogLevel::default()
}

/// The name of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayIdentity {
    /// Namespace of the `ClawGateway`.
    pub namespace: String,
    /// Name of the `ClawGateway`.
    pub name: String,
}

/// One model under the name that clients and routes use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelConfig {
    /// Unique within the gateway.
    pub name: String,
    /// What it does, which decides the body of its routes' own paths.
    #[serde(default, skip_serializing_if = "TaskConfig::is_default")]
    pub task: TaskConfig,
    /// What answers.
    pub backend: ModelBackend,
}

/// What answers for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ModelBackend {
    /// A model in the gateway's own process.
    Local(LocalModelConfig),
    /// An API elsewhere.
    Remote(RemoteModelConfig),
    /// Defined, but not usable now (a credential is missing, say): requests fail over or get this reason.
    Unavailable {
        /// What is wrong, without any secret.
        reason: String,
    },
}

/// One chat channel, served at `/channels/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChannelConfig {
    /// Unique within the gateway.
    pub name: String,
    /// The model that answers.
    pub model: String,
    /// Put before every conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The platform and its credentials.
    pub platform: PlatformConfig,
    /// Who is answered.
    pub access: AccessConfig,
}

/// The chat platform of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum PlatformConfig {
    /// The gateway's own WebSocket protocol; callers authenticate as for the API.
    WebSocket {},
    /// A Telegram bot that receives updates by webhook.
    #[serde(rename_all = "camelCase")]
    Telegram {
        /// The bot's token.
        bot_token: Redacted,
        /// What Telegram sends in `X-Telegram-Bot-Api-Secret-Token`.
        webhook_secret: Redacted,
        /// Base URL of the Bot API, without a trailing slash.
        api_base_url: String,
    },
}

/// Who may use a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessConfig {
    /// Rule for direct messages.
    pub direct: DirectAccess,
    /// Senders (and, in groups, groups) that an allow list admits: platform ids, `@names`, or API key names.
    pub allow_from: BTreeSet<String>,
    /// Rule for group messages.
    pub groups: GroupAccess,
}

/// Rule for direct messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectAccess {
    /// Everyone is answered.
    Open,
    /// Only those in the allow list.
    AllowList,
    /// Nobody.
    Disabled,
}

/// Rule for group messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupAccess {
    /// Groups are ignored.
    Disabled,
    /// Answered when the bot is mentioned, commanded or replied to.
    MentionOnly,
    /// Every message is answered.
    All,
}

/// Who may call the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum AuthConfig {
    /// Callers that present one of these keys. An empty list admits nobody.
    ApiKeys(Vec<ApiKeyConfig>),
    /// Everyone. Only ever by explicit choice.
    Anonymous {},
}

/// One API key, never in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApiKeyConfig {
    /// `<secret>/<key>`, for logs, metrics and allow lists.
    pub name: String,
    /// Lower-case hexadecimal SHA-256 of the key.
    pub sha256: String,
    /// What its holder may do.
    #[serde(default, skip_serializing_if = "GrantConfig::is_default")]
    pub grant: GrantConfig,
}

/// Where callers come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CallersConfig {
    /// The addresses that are served at all; absent means every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow_list: Option<BTreeSet<IpNet>>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub trusted_proxies: BTreeSet<IpNet>,
}

impl CallersConfig {
    /// Whether every address is served and no proxy trusted.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A serving certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TlsConfig {
    /// PEM, leaf first.
    pub certificate_chain: String,
    /// PEM private key of the leaf.
    pub private_key: Redacted,
}

/// What is let in at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LimitsConfig {
    /// Requests per second for each caller (API key, or client address when anonymous), counted per replica;
    /// absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Open client connections per replica.
    pub max_connections: u32,
    /// Largest request body in bytes.
    pub max_body_bytes: u64,
    /// What may be used by the minute, day and month.
    #[serde(default, skip_serializing_if = "BudgetsConfig::is_empty")]
    pub budgets: BudgetsConfig,
}

/// Where local models run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceConfig {
    /// CUDA where it is present, else the CPU with a visible reason.
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA, or the model fails to load.
    Cuda,
}

/// Why a stored configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not of this shape; the source names line, column and field.
    #[error("failed to read the gateway configuration")]
    Json(#[source] serde_json::Error),
    /// Written for another version of this program.
    #[error(
        "the gateway configuration has schemaVersion {found}, but this program reads {SCHEMA_VERSION}: run the \
         gateway and operator images of one release"
    )]
    SchemaVersion {
        /// The version found.
        found: u64,
    },
}

impl GatewayConfig {
    /// Parse a stored configuration; the version is looked at first, so that a newer file gives the clearer error.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            schema_version: u64,
        }
        let Version { schema_version } = serde_json::from_slice(bytes).map_err(ParseError::Json)?;
        if schema_version != u64::from(SCHEMA_VERSION) {
            return Err(ParseError::SchemaVersion {
                found: schema_version,
            });
        }
        serde_json::from_slice(bytes).map_err(ParseError::Json)
    }

    /// The stored form: stable for equal input, so an unchanged gateway is never rewritten.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("a configuration has only string keys and finite numbers")
    }

    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&ModelConfig> {
        self.models.iter().find(|model| model.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> GatewayConfig {
        GatewayConfig {
            schema_version: SCHEMA_VERSION,
            gateway: GatewayIdentity {
                namespace: "shop".into(),
                name: "helpdesk".into(),
            },
            models: Vec::new(),
            routes: Vec::new(),
            channels: Vec::new(),
            auth: AuthConfig::Anonymous {},
            tls: Some(TlsConfig {
                certificate_chain: "chain".into(),
                private_key: Redacted::new("hunter2"),
            }),
            limits: LimitsConfig {
                requests_per_second: None,
                max_connections: 50,
                max_body_bytes: 1024,
                budgets: BudgetsConfig::default(),
            },
            device: DeviceConfig::Auto,
            model_pool: ModelPoolConfig::default(),
            outbound: OutboundConfig::default(),
            audit: None,
            log_level: LogLevel::Info,
            conversations: ConversationsConfig::Stored {
                keys: vec![Redacted::new("hunter2")],
            },
            state: StateConfig::Postgres(Redacted::new("postgres://me:hunter2@db/claw")),
            callers: CallersConfig::default(),
            identities: IdentitiesConfig::default(),
        }
    }

    #[test]
    fn a_configuration_survives_the_round_trip() {
        let config = minimal();
        assert_eq!(
            GatewayConfig::from_json(config.to_json().as_bytes()).expect("parses"),
            config
        );
    }

    #[test]
    fn debug_output_holds_no_secret() {
        assert!(!format!("{:?}", minimal()).contains("hunter2"));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let json = minimal().to_json().replacen('{', "{\"flavour\":1,", 1);
        let error = GatewayConfig::from_json(json.as_bytes()).expect_err("unknown field");
        let ParseError::Json(source) = error else {
            panic!("{error}")
        };
        assert!(source.to_string().contains("flavour"), "{source}");
    }

    #[test]
    fn a_newer_version_is_named_even_when_its_fields_are_unknown() {
        let error =
            GatewayConfig::from_json(br#"{"schemaVersion": 7, "novel": true}"#).expect_err("newer");
        assert!(error.to_string().contains("schemaVersion 7"), "{error}");
    }
}
