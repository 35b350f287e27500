//! From a configuration as stored to one that runs: everything compiled, nothing left that could fail.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    CallersConfig, ChannelConfig, ConversationsConfig, DeviceConfig, GatewayIdentity, LimitsConfig,
    ModelBackend, ModelConfig, ModelPoolConfig, OutboundConfig, RemoteModelConfig, SCHEMA_VERSION,
    StateConfig,
};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use sha2::{Digest, Sha256};

use super::{Backend, Certificate, ConfigError, ModelEntry, Remote, chain};
use crate::auth::AccessPolicy;
use crate::models::{ModelSlot, SlotKey};
use crate::provider::KeyRing;
use crate::routing::RouteTable;

/// The configuration in force. Requests take one snapshot and keep it to their end.
pub type SharedRuntime = Arc<ArcSwap<RuntimeConfig>>;

/// A configuration that runs.
#[derive(Debug)]
pub struct RuntimeConfig {
    /// Where it came from.
    pub origin: String,
    /// The first half of the SHA-256 of its stored form.
    pub hash: String,
    /// Which gateway this is.
    pub gateway: GatewayIdentity,
    /// The models, by unique name.
    pub models: Vec<ModelEntry>,
    /// The routing table.
    pub routes: RouteTable,
    /// The channels, by unique name.
    pub channels: Vec<ChannelConfig>,
    /// Who is let in.
    pub access: AccessPolicy,
    /// The serving certificate; `None` means plain HTTP.
    pub tls: Option<Certificate>,
    /// What is let in at all.
    pub limits: LimitsConfig,
    /// Where days and months of limits begin.
    pub time_zone: TimeZone,
    /// Where is remembered what was used of the limits.
    pub state: StateConfig,
    /// Where conversations are kept.
    pub conversations: ConversationsConfig,
    /// Where callers come from.
    pub callers: CallersConfig,
}

/// A checked configuration whose models are not acquired yet.
pub struct Prepared {
    origin: String,
    hash: String,
    gateway: GatewayIdentity,
    models: Vec<ModelConfig>,
    device: DeviceConfig,
    routes: RouteTable,
    channels: Vec<ChannelConfig>,
    access: AccessPolicy,
    tls: Option<Certificate>,
    limits: LimitsConfig,
    callers: CallersConfig,
    /// What may be called.
    pub(super) outbound: OutboundConfig,
    /// What local models share.
    pub(super) model_pool: ModelPoolConfig,
    time_zone: TimeZone,
    state: StateConfig,
    conversations: ConversationsConfig,
}

/// Check a configuration whole. Pure: nothing is loaded, so a refused configuration leaves no trace.
pub fn prepare(origin: &str, config: GatewayConfig) -> Result<Prepared, ConfigError> {
    let hash = hash(&config);
    let mut problems = duplicates("models", config.models.iter().map(|model| &model.name));
    problems.extend(duplicates(
        "channels",
        config.channels.iter().map(|channel| &channel.name),
    ));
    problems.extend(limit_problems(&config.limits));
    if config.identities.client_certificates.is_some() && config.tls.is_none() {
        problems.push(
            "identities.clientCertificates: they are shown in the TLS handshake; give tls"
                .to_owned(),
        );
    }
    if config.schema_version != SCHEMA_VERSION {
        problems.push(format!(
            "schemaVersion: {} is not {SCHEMA_VERSION}",
            config.schema_version
        ));
    }
    let routes = RouteTable::compile(&config.routes)
        .map_err(|invalid| problems.extend(invalid.iter().map(|route| chain(route))));
    let access = AccessPolicy::new(&config.auth, &config.identities)
        .map_err(|error| problems.push(chain(&error)));
    let tls = config
        .tls
        .as_ref()
        .map(Certificate::new)
        .transpose()
        .map_err(|error| {
            problems.push(format!(
                "tls: {}; give a chain and the key of its leaf",
                chain(&error)
            ));
        });
    let time_zone = time_zone(&config.limits).map_err(|problem| problems.push(problem));
    match (routes, access, tls, time_zone) {
        (Ok(routes), Ok(access), Ok(tls), Ok(time_zone)) if problems.is_empty() => Ok(Prepared {
            origin: origin.to_owned(),
            hash,
            gateway: config.gateway,
            models: config.models,
            device: config.device,
            routes,
            channels: config.channels,
            access,
            tls,
            limits: config.limits,
            callers: config.callers,
            outbound: config.outbound,
            model_pool: config.model_pool,
            time_zone,
            state: config.state,
            conversations: config.conversations,
        }),
        _ => Err(ConfigError {
            origin: origin.to_owned(),
            problems,
        }),
    }
}

impl Prepared {
    /// The hash of the configuration.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Take the models that it names: `acquire` shares those which run already, and what is known of an API stays known
    /// where `before`, the configuration in force, has the same one.
    pub fn install(
        self,
        mut acquire: impl FnMut(SlotKey) -> Arc<ModelSlot>,
        before: Option<&RuntimeConfig>,
    ) -> RuntimeConfig {
        let Self {
            origin,
            hash,
            gateway,
            models,
            device,
            routes,
            channels,
            mut access,
            tls,
            limits,
            callers,
            outbound: _,
            model_pool: _,
            time_zone,
            state,
            conversations,
        } = self;
        if let Some(before) = before {
            access.adopt(&before.access);
        }
        let models: Vec<_> = models
            .into_iter()
            .map(|model| {
                let known = before.and_then(|before| before.model(&model.name));
                let backend = match model.backend {
                    ModelBackend::Local(local) => {
                        let slot = acquire(SlotKey {
                            model: local,
                            device,
                            task: model.task,
                        });
                        // What the name stood for answers until this one can, where it is asked for the same.
                        if let Some(Backend::Local(known)) = known.map(|known| &known.backend)
                            && known.key().task == slot.key().task
                        {
                            slot.follow_on(known);
                        }
                        Backend::Local(slot)
                    }
                    ModelBackend::Remote(config) => Backend::Remote(remote(config, known)),
                    ModelBackend::Unavailable { reason } => Backend::Unavailable { reason },
                };
                ModelEntry {
                    retry_budget: known
                        .map(|known| Arc::clone(&known.retry_budget))
                        .unwrap_or_default(),
                    name: model.name,
                    backend,
                }
            })
            .collect();
        // What one name leaves behind may be what another one stands for.
        for model in &models {
            if let Backend::Local(slot) = &model.backend {
                slot.reinstate();
            }
        }
        RuntimeConfig {
            origin,
            hash,
            gateway,
            models,
            routes,
            channels,
            access,
            tls,
            limits,
            time_zone,
            state,
            conversations,
            callers,
        }
    }
}

impl RuntimeConfig {
    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&ModelEntry> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The channel of that name.
    pub fn channel(&self, name: &str) -> Option<&ChannelConfig> {
        self.channels.iter().find(|channel| channel.name == name)
    }
}

fn remote(config: RemoteModelConfig, known: Option<&ModelEntry>) -> Remote {
    match known.map(|entry| &entry.backend) {
        Some(Backend::Remote(known)) if known.config == config => known.clone(),
        _ => Remote {
            keys: Arc::new(KeyRing::new(&config.credentials)),
            health: Arc::default(),
            config,
        },
    }
}

fn hash(config: &GatewayConfig) -> String {
    let digest = Sha256::digest(config.to_json().as_bytes());
    hex::encode(&digest[..16])
}

fn duplicates<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names
        .filter(|name| !seen.insert(*name))
        .map(|name| format!("{field}: the name {name:?} is used twice; rename one"))
        .collect()
}

/// From the list that comes with the program, so that every machine knows the same names.
fn time_zone(limits: &LimitsConfig) -> Result<TimeZone, String> {
    let Some(name) = &limits.budgets.time_zone else {
        return Ok(TimeZone::UTC);
    };
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        format!(
            "limits.budgets.timeZone: {name:?} is not known; use a name of the IANA list, such as Europe/Berlin"
        )
    })
}

fn limit_problems(limits: &LimitsConfig) -> Vec<String> {
    let LimitsConfig {
        requests_per_second,
        max_connections,
        max_body_bytes,
        budgets: _,
    } = limits;
    let zeros = [
        ("requestsPerSecond", *requests_per_second == Some(0)),
        ("maxConnections", *max_connections == 0),
        ("maxBodyBytes", *max_body_bytes == 0),
    ];
    zeros
        .into_iter()
        .filter(|(_, zero)| *zero)
        .map(|(field, _)| format!("limits.{field}: 0 would let nothing in; give at least 1"))
        .collect()
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::{Redacted, RouteConfig};

    use super::*;
    use crate::config::fixture;

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut config = fixture::config(&["red", "red"]);
        config.limits.max_connections = 0;
        config.routes.push(RouteConfig {
            origin: "here".into(),
            pattern: Some("(".into()),
            ..RouteConfig::default()
        });
        config.tls = Some(fixture::tls("red.test"));
        config.tls.as_mut().expect("just set").private_key = Redacted::new("hunter2");
        let error = prepare("somewhere", config).err().expect("refused");
        let text = error.to_string();
        for part in [
            "somewhere",
            "\"red\" is used twice",
            "maxConnections",
            "here: pattern \"(\"",
            "the private key is not PEM",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn equal_configurations_have_equal_hashes() {
        let hash = |names: &[&str]| fixture::runtime(fixture::config(names)).hash;
        assert_eq!(hash(&["red"]), hash(&["red"]));
        assert_ne!(hash(&["red"]), hash(&["green"]));
        assert_eq!(hash(&["red"]).len(), 32);
    }
}
