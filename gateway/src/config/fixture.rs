//! Configurations for tests.

use std::sync::Arc;

use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    AuthConfig, BudgetsConfig, CallersConfig, ConversationsConfig, CredentialConfig, DeviceConfig,
    GatewayIdentity, IdentitiesConfig, LimitsConfig, LogLevel, ModelBackend, ModelConfig,
    ModelPoolConfig, OutboundConfig, ProviderConfig, Redacted, RemoteModelConfig, SCHEMA_VERSION,
    StateConfig, TaskConfig, TlsConfig,
};

use super::{RuntimeConfig, prepare};
use crate::models::ModelSlot;

/// Open to all, with remote models of these names at an address where nothing listens.
pub(crate) fn config(models: &[&str]) -> GatewayConfig {
    GatewayConfig {
        schema_version: SCHEMA_VERSION,
        gateway: GatewayIdentity {
            namespace: "shop".into(),
            name: "helpdesk".into(),
        },
        models: models
            .iter()
            .map(|name| remote(name, "http://127.0.0.1:9/v1"))
            .collect(),
        routes: Vec::new(),
        channels: Vec::new(),
        auth: AuthConfig::Anonymous {},
        tls: None,
        limits: LimitsConfig {
            requests_per_second: None,
            max_connections: 50,
            max_body_bytes: 4096,
            budgets: BudgetsConfig::default(),
        },
        device: DeviceConfig::Cpu,
        model_pool: ModelPoolConfig::default(),
        outbound: OutboundConfig::unrestricted(),
        audit: None,
        log_level: LogLevel::default(),
        state: StateConfig::default(),
        conversations: ConversationsConfig::default(),
        callers: CallersConfig::default(),
        identities: IdentitiesConfig::default(),
    }
}

pub(crate) fn remote(name: &str, base_url: &str) -> ModelConfig {
    ModelConfig {
        name: name.into(),
        task: TaskConfig::Chat,
        backend: ModelBackend::Remote(RemoteModelConfig {
            provider: ProviderConfig::OpenAI,
            base_url: base_url.into(),
            model: format!("upstream-{name}"),
            api_version: None,
            credentials: vec![CredentialConfig {
                name: "provider/key".into(),
                value: Redacted::new("upstream-key"),
            }],
        }),
    }
}

/// Local models never get past "pending" here.
pub(crate) fn runtime(config: GatewayConfig) -> RuntimeConfig {
    prepare("a test", config)
        .expect("a valid fixture")
        .install(|key| Arc::new(ModelSlot::new(key)), None)
}

pub(crate) fn tls(host: &str) -> TlsConfig {
    let issued = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
    TlsConfig {
        certificate_chain: issued.cert.pem(),
        private_key: Redacted::new(issued.signing_key.serialize_pem()),
    }
}
