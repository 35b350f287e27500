//! What the operator and people read: the configuration in force and how its parts are.

use std::time::Instant;

use claw_crds::gateway_config::{
    BackendConfig, LoadConfig, PlatformConfig, RetriesConfig, TaskConfig, TimeoutsConfig,
};
use serde::Serialize;

use super::{Management, Readiness};
use crate::audit::SinkReport;
use crate::config::{Backend, ModelEntry, Remote, RuntimeConfig};
use crate::models::{PoolFigures, SlotState};

/// The state of what is left alone for a while.
const RESTING: &str = "resting";

/// The state of a gateway, without any secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    version: &'static str,
    ready: bool,
    reasons: Vec<String>,
    config: Option<Config>,
    /// Why the newest configuration is not the one in force.
    refused_config: Option<Refused>,
    warnings: Vec<String>,
    /// Where limits are counted and messages are kept; absent while nothing has to be remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    models: Vec<Model>,
    /// What local models take together; absent before the first configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_pool: Option<ModelPool>,
    routes: Vec<Route>,
    channels: Vec<Channel>,
    /// Absent while there is no audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<Audit>,
}

/// How far the audit log is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Audit {
    /// The last record that is known to be on disk.
    acknowledged: u64,
    /// Why records cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sinks: Vec<Sink>,
}

/// How far a sink of the audit log is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sink {
    name: String,
    /// Records that it has yet to get.
    behind: u64,
    /// Whether requests are refused because of that.
    blocking: bool,
    /// Why it does not get them.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    gateway: String,
    origin: String,
    hash: String,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_not_after: Option<String>,
}

#[derive(Serialize)]
struct Refused {
    origin: String,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct State {
    place: String,
    available: bool,
    /// Why messages of channels cannot be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<String>,
}

/// What local models take together, and what they may.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "the unit is part of what is shown"
)]
struct ModelPool {
    memory_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_budget_bytes: Option<u64>,
    disk_bytes: u64,
    /// Of files that are in use.
    disk_in_use_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_budget_bytes: Option<u64>,
}

/// How far the files of a model are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fetching {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    name: String,
    kind: &'static str,
    state: &'static str,
    /// When a local model is loaded, unless that is at once.
    #[serde(skip_serializing_if = "LoadConfig::is_default")]
    load: LoadConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetching: Option<Fetching>,
    /// What the name stood for before answers until this is ready.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    answered_by_predecessor: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// Why this device, or what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
    /// The keys of a remote API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    credentials: Vec<Credential>,
}

#[derive(Serialize)]
struct Credential {
    /// `<secret>/<key>`.
    name: String,
    state: &'static str,
    /// Why it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Route {
    origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    /// The names of the headers that it looks at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<BackendConfig>,
    targets: Vec<String>,
    #[serde(skip_serializing_if = "TaskConfig::is_default")]
    task: TaskConfig,
    #[serde(skip_serializing_if = "TimeoutsConfig::is_default")]
    timeouts: TimeoutsConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<RetriesConfig>,
}

#[derive(Serialize)]
struct Channel {
    name: String,
    platform: &'static str,
    model: String,
    path: String,
}

impl Status {
    pub(super) fn of(management: &Management) -> Self {
        let Readiness { ready, reasons } = Readiness::of(management);
        let runtime = management.current();
        let runtime = runtime.as_deref();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            ready,
            reasons,
            config: runtime.map(Config::of),
            refused_config: management.refused.load_full().map(|error| Refused {
                origin: error.origin.clone(),
                problems: error.problems.clone(),
            }),
            warnings: management
                .warnings
                .load_full()
                .map_or_else(Vec::new, |warnings| warnings.to_vec()),
            state: management.state().map(|(place, available)| State {
                place,
                available,
                messages: management.mail.as_ref().and_then(|mail| mail.fault()),
            }),
            models: runtime.map_or_else(Vec::new, |runtime| {
                runtime.models.iter().map(Model::of).collect()
            }),
            model_pool: management
                .pool
                .get()
                .map(|pool| ModelPool::of(pool.figures())),
            routes: runtime.map_or_else(Vec::new, routes),
            channels: runtime.map_or_else(Vec::new, channels),
            audit: management.audit.progress().map(|progress| Audit {
                acknowledged: progress.acknowledged(),
                fault: progress.fault().map(|fault| fault.to_string()),
                sinks: management
                    .audit
                    .sinks()
                    .into_iter()
                    .map(Sink::from)
                    .collect(),
            }),
        }
    }
}

impl From<SinkReport> for Sink {
    fn from(report: SinkReport) -> Self {
        let SinkReport {
            name,
            behind,
            is_blocking,
            fault,
        } = report;
        Self {
            name,
            behind,
            blocking: is_blocking,
            fault,
        }
    }
}

impl Config {
    fn of(runtime: &RuntimeConfig) -> Self {
        let not_after = runtime
            .tls
            .as_ref()
            .and_then(|tls| jiff::Timestamp::from_second(tls.not_after).ok());
        Self {
            gateway: format!("{}/{}", runtime.gateway.namespace, runtime.gateway.name),
            origin: runtime.origin.clone(),
            hash: runtime.hash.clone(),
            tls: runtime.tls.is_some(),
            certificate_not_after: not_after.map(|time| time.to_string()),
        }
    }
}

impl ModelPool {
    fn of(figures: PoolFigures) -> Self {
        let PoolFigures {
            memory,
            memory_budget,
            disk,
            disk_budget,
        } = figures;
        Self {
            memory_bytes: memory,
            memory_budget_bytes: memory_budget,
            disk_bytes: disk.bytes,
            disk_in_use_bytes: disk.in_use,
            disk_budget_bytes: disk_budget,
        }
    }
}

impl Model {
    fn of(entry: &ModelEntry) -> Self {
        let kind = entry.backend.label();
        let model = Self {
            name: entry.name.clone(),
            kind,
            state: "ready",
            load: LoadConfig::Eager,
            fetching: None,
            answered_by_predecessor: false,
            device: None,
            reason: None,
            progress: None,
            credentials: Vec::new(),
        };
        match &entry.backend {
            Backend::Remote(remote) => {
                let now = Instant::now();
                let rest = remote.health.rest(now);
                Self {
                    state: rest.map_or(model.state, |_| RESTING),
                    reason: rest.map(|rest| rest.told(now)),
                    credentials: credentials(remote, now),
                    ..model
                }
            }
            Backend::Unavailable { reason } => Self {
                state: "unavailable",
                reason: Some(reason.clone()),
                ..model
            },
            Backend::Local(slot) => {
                let state = slot.state();
                let model = Self {
                    state: state.label(),
                    progress: state.progress(),
                    load: slot.key().model.load,
                    answered_by_predecessor: !state.is_ready() && slot.can_answer(),
                    ..model
                };
                match state {
                    SlotState::Ready(_, info) => Self {
                        device: Some(info.device),
                        reason: info.reason,
                        ..model
                    },
                    SlotState::Failed { error, .. } => Self {
                        reason: Some(error),
                        ..model
                    },
                    SlotState::Fetching(progress) => Self {
                        fetching: Some(Fetching {
                            bytes: progress.done,
                            total_bytes: progress.total,
                            bytes_per_second: progress.rate,
                            seconds_left: progress.seconds_left(),
                        }),
                        ..model
                    },
                    SlotState::Pending
                    | SlotState::Importing(_)
                    | SlotState::Standby
                    | SlotState::Loading => model,
                }
            }
        }
    }
}

fn credentials(remote: &Remote, now: Instant) -> Vec<Credential> {
    let keys = remote.config.credentials.iter().enumerate();
    keys.map(|(index, key)| {
        let rest = remote.keys.rest(index, now);
        Credential {
            name: key.name.clone(),
            state: rest.map_or("ready", |_| RESTING),
            reason: rest.map(|rest| rest.told(now)),
        }
    })
    .collect()
}

fn routes(runtime: &RuntimeConfig) -> Vec<Route> {
    runtime
        .routes
        .rules()
        .iter()
        .map(|rule| Route {
            origin: rule.origin.clone(),
            pattern: rule.pattern.clone(),
            alias: rule.alias.clone(),
            headers: rule.header_names().map(str::to_owned).collect(),
            backends: rule.backends().to_vec(),
            targets: rule.targets.clone(),
            task: rule.task,
            timeouts: rule.timeouts,
            retries: rule.retries,
        })
        .collect()
}

fn channels(runtime: &RuntimeConfig) -> Vec<Channel> {
    runtime
        .channels
        .iter()
        .map(|channel| Channel {
            name: channel.name.clone(),
            platform: match &channel.platform {
                PlatformConfig::WebSocket {} => "WebSocket",
                PlatformConfig::Telegram { .. } => "Telegram",
            },
            model: channel.model.clone(),
            path: format!("/channels/{}", channel.name),
        })
        .collect()
}
