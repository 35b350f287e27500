//! What is counted, under which bounded labels. `/metrics` shows it; nothing else reads it.
//!
//! Names, labels and meanings stand in [`claw_crds::metric_catalog`].

mod control_group;
mod engines;
mod labels;
mod log_events;
mod pace;
mod process;

use std::time::{Duration, Instant};

use claw_crds::metric_catalog::{Metric, gateway as catalog};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::audit;
use crate::config::{Backend, ModelEntry, Remote, RuntimeConfig};
use crate::mailbox;
use crate::models::{FailureKind, Loaded, ModelStats, PoolFigures, SlotState};
use crate::types::Usage;

pub(crate) use control_group::ControlGroup;
use engines::Engines;
use labels::{
    AuthRefusalLabels, ChannelLabels, FallbackLabels, HandlerLabels, KeyLabels, LimitLabels,
    ModelFailureLabels, ModelLabels, ModelStateLabels, NoLabels, PoolLabels, RefusedLabels,
    ReloadLabels, RequestLabels, RouteLabels, TokenLabels, VersionLabels,
};
pub use log_events::LogEvents;
use pace::Pace;
use process::ProcessCollector;

/// Seconds; from a cached 404 to a long generation. An alert asks for 0.5.
const DURATIONS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

/// The state of a model whose reference leads nowhere.
const UNAVAILABLE: &str = "unavailable";

/// All metrics of a gateway.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latencies: Family<HandlerLabels, Histogram>,
    durations: Family<HandlerLabels, Histogram>,
    pace: Pace,
    engines: Engines,
    tokens: Family<TokenLabels, Counter>,
    fallbacks: Family<FallbackLabels, Counter>,
    retries: Family<FallbackLabels, Counter>,
    retries_refused: Family<RefusedLabels, Counter>,
    routed: Family<RouteLabels, Counter>,
    auth_refusals: Family<AuthRefusalLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    config_refused: Gauge,
    channel_messages: Family<ChannelLabels, Counter>,
    model_states: Family<ModelStateLabels, Gauge>,
    model_failed: Family<ModelFailureLabels, Gauge>,
    model_fetched: Family<ModelLabels, Gauge>,
    pool_bytes: Family<PoolLabels, Gauge>,
    pool_budgets: Family<PoolLabels, Gauge>,
    resting: Family<ModelLabels, Gauge>,
    keys_resting: Family<KeyLabels, Gauge>,
    certificate: Family<NoLabels, Gauge>,
    max_connections: Family<NoLabels, Gauge>,
    store_writable: Family<NoLabels, Gauge>,
    /// Of the audit log, which counts for itself.
    pub audit: audit::Counters,
    /// Of the mailbox, which counts for itself.
    pub mail: mailbox::Counters,
    state_available: Family<NoLabels, Gauge>,
    limited: Family<LimitLabels, Counter>,
    /// Client connections open now.
    pub open_connections: Gauge,
    /// Of those, the ones that wait for their next request.
    pub idle_connections: Gauge,
}

/// The parts of a gateway that are looked at when somebody scrapes, rather than counted.
#[derive(Default)]
pub struct Snapshot<'a> {
    /// The configuration in force.
    pub runtime: Option<&'a RuntimeConfig>,
    /// Whether a newer one is refused.
    pub config_refused: bool,
    /// Whether state can be kept, once tried.
    pub store_writable: Option<bool>,
    /// Whether the database of limits works, where there is one.
    pub state_available: Option<bool>,
    /// What local models take together.
    pub pool: Option<PoolFigures>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&LogEvents::default(), None)
    }
}

impl Metrics {
    /// Everything at zero. `cpu_capacity` says how many processors are meant for this process, where it is known.
    pub fn new(log_events: &LogEvents, cpu_capacity: Option<f64>) -> Self {
        let histograms = || Histogram::new(DURATIONS);
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            latencies: Family::new_with_constructor(histograms),
            durations: Family::new_with_constructor(histograms),
            pace: Pace::new(),
            engines: Engines::default(),
            tokens: Family::default(),
            fallbacks: Family::default(),
            retries: Family::default(),
            retries_refused: Family::default(),
            routed: Family::default(),
            auth_refusals: Family::default(),
            reloads: Family::default(),
            config_refused: Gauge::default(),
            model_states: Family::default(),
            model_failed: Family::default(),
            model_fetched: Family::default(),
            pool_bytes: Family::default(),
            pool_budgets: Family::default(),
            resting: Family::default(),
            keys_resting: Family::default(),
            certificate: Family::default(),
            max_connections: Family::default(),
            store_writable: Family::default(),
            audit: audit::Counters::default(),
            mail: mailbox::Counters::default(),
            state_available: Family::default(),
            limited: Family::default(),
            channel_messages: Family::default(),
            open_connections: Gauge::default(),
            idle_connections: Gauge::default(),
        };
        metrics.register(log_events);
        let process = ProcessCollector::new(cpu_capacity);
        metrics.registry.register_collector(Box::new(process));
        metrics
    }

    fn register(&mut self, log_events: &LogEvents) {
        let Self {
            registry,
            requests,
            latencies,
            durations,
            pace,
            engines,
            tokens,
            fallbacks,
            retries,
            retries_refused,
            routed,
            auth_refusals,
            reloads,
            config_refused,
            model_states,
            model_failed,
            model_fetched,
            pool_bytes,
            pool_budgets,
            resting,
            keys_resting,
            certificate,
            max_connections,
            store_writable,
            state_available,
            limited,
            channel_messages,
            audit,
            mail,
            open_connections,
            idle_connections,
        } = self;
        let build: Family<VersionLabels, Gauge> = Family::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&VersionLabels { version }).set(1);
        add(registry, &catalog::BUILD_INFO, build);
        add(registry, &catalog::REQUESTS, requests.clone());
        add(registry, &catalog::REQUEST_LATENCY, latencies.clone());
        add(registry, &catalog::REQUEST_DURATION, durations.clone());
        pace.register(registry);
        engines.register(registry);
        add(registry, &catalog::TOKENS, tokens.clone());
        add(registry, &catalog::FALLBACKS, fallbacks.clone());
        add(registry, &catalog::RETRIES, retries.clone());
        add(registry, &catalog::RETRIES_REFUSED, retries_refused.clone());
        add(registry, &catalog::ROUTED_REQUESTS, routed.clone());
        add(registry, &catalog::AUTH_REFUSALS, auth_refusals.clone());
        add(
            registry,
            &catalog::CHANNEL_MESSAGES,
            channel_messages.clone(),
        );
        add(
            registry,
            &catalog::OPEN_CONNECTIONS,
            open_connections.clone(),
        );
        let idle = idle_connections.clone();
        add(registry, &catalog::IDLE_CONNECTIONS, idle);
        add(registry, &catalog::MAX_CONNECTIONS, max_connections.clone());
        add(registry, &catalog::CONFIG_RELOADS, reloads.clone());
        add(registry, &catalog::CONFIG_REFUSED, config_refused.clone());
        add(registry, &catalog::MODEL_STATE, model_states.clone());
        add(registry, &catalog::MODEL_FAILED, model_failed.clone());
        add(registry, &catalog::MODEL_FETCHED, model_fetched.clone());
        add(registry, &catalog::MODEL_POOL, pool_bytes.clone());
        add(registry, &catalog::MODEL_POOL_BUDGET, pool_budgets.clone());
        add(registry, &catalog::MODEL_RESTING, resting.clone());
        add(registry, &catalog::KEY_RESTING, keys_resting.clone());
        add(registry, &catalog::CERTIFICATE_EXPIRY, certificate.clone());
        add(registry, &catalog::LOG_EVENTS, log_events.0.clone());
        add(registry, &catalog::STORE_WRITABLE, store_writable.clone());
        register_audit(registry, audit);
        add(registry, &catalog::STATE_AVAILABLE, state_available.clone());
        register_mail(registry, mail);
        add(registry, &catalog::LIMITED, limited.clone());
    }

    /// The head of an answer is on its way.
    pub fn answer_began(&self, handler: &'static str, after: Duration) {
        self.latencies
            .get_or_create(&HandlerLabels { handler })
            .observe(after.as_secs_f64());
    }

    /// A request is over.
    pub fn request(
        &self,
        handler: &'static str,
        model: Option<&str>,
        status: u16,
        duration: Duration,
    ) {
        let labels = RequestLabels {
            handler,
            model: model.unwrap_or_default().to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&HandlerLabels { handler })
            .observe(duration.as_secs_f64());
    }

    /// A streamed answer began.
    pub fn first_token(&self, model: &str, after: Duration) {
        self.pace.first(model, after);
    }

    /// A streamed answer of so many tokens is complete, which went on for this long after its first content.
    pub fn spoken(&self, model: String, lasted: Duration, tokens: u64) {
        self.pace.whole(model, lasted, tokens);
    }

    /// Where the requests of a local model tell how long they were in its queue.
    pub fn queue_waits(&self, model: &str) -> Histogram {
        self.pace.queue_waits(model)
    }

    /// An answer was counted.
    pub fn usage(&self, model: &str, usage: &Usage) {
        audit::notes::tokens(usage);
        let mut labels = TokenLabels {
            model: model.to_owned(),
            kind: "prompt",
        };
        self.tokens
            .get_or_create(&labels)
            .inc_by(usage.prompt_tokens);
        labels.kind = "completion";
        self.tokens
            .get_or_create(&labels)
            .inc_by(usage.completion_tokens);
    }

    /// A model failed and the next one is tried.
    pub fn fallback(&self, from: &str, reason: &'static str) {
        self.fallbacks
            .get_or_create(&FallbackLabels {
                model: from.to_owned(),
                reason,
            })
            .inc();
    }

    /// A model failed and is asked again.
    pub fn retry(&self, model: &str, reason: &'static str) {
        let labels = FallbackLabels {
            model: model.to_owned(),
            reason,
        };
        self.retries.get_or_create(&labels).inc();
    }

    /// A model failed and is not asked again, though its route would have allowed it.
    pub fn retry_refused(&self, model: &str, cause: &'static str) {
        let labels = RefusedLabels {
            model: model.to_owned(),
            cause,
        };
        self.retries_refused.get_or_create(&labels).inc();
    }

    /// A rule chose who answers; `None` where nobody did.
    pub fn routed(&self, route: &str, model: Option<&str>) {
        let labels = RouteLabels {
            route: route.to_owned(),
            model: model.unwrap_or_default().to_owned(),
        };
        self.routed.get_or_create(&labels).inc();
    }

    /// A request was refused for a limit.
    pub fn limited(&self, scope: &'static str, limit: &'static str) {
        self.limited
            .get_or_create(&LimitLabels { scope, limit })
            .inc();
    }

    /// Somebody was not let in.
    pub fn auth_refused(&self, reason: &'static str) {
        self.auth_refusals
            .get_or_create(&AuthRefusalLabels { reason })
            .inc();
    }

    /// A message of a channel was dealt with.
    pub fn channel_message(&self, channel: &str, platform: &'static str, outcome: &'static str) {
        let labels = ChannelLabels {
            channel: channel.to_owned(),
            platform,
            outcome,
        };
        self.channel_messages.get_or_create(&labels).inc();
    }

    /// The configuration changed, or did not.
    pub fn reload(&self, taken: bool) {
        let result = if taken { "ok" } else { "refused" };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Everything in OpenMetrics text; states are taken from the configuration in force, so nothing of a removed
    /// model lingers.
    pub fn encode(&self, snapshot: &Snapshot<'_>) -> Result<String, std::fmt::Error> {
        let Snapshot {
            runtime,
            config_refused,
            store_writable,
            state_available,
            pool,
        } = snapshot;
        self.config_refused.set((*config_refused).into());
        self.state_available.clear();
        if let Some(available) = *state_available {
            self.state_available
                .get_or_create(&NoLabels {})
                .set(available.into());
        }
        self.store_writable.clear();
        if let Some(writable) = *store_writable {
            self.store_writable
                .get_or_create(&NoLabels {})
                .set(writable.into());
        }
        self.engines.clear();
        self.model_states.clear();
        self.model_failed.clear();
        self.model_fetched.clear();
        self.pool_bytes.clear();
        self.pool_budgets.clear();
        if let Some(pool) = pool {
            self.pool(pool);
        }
        self.resting.clear();
        self.keys_resting.clear();
        self.certificate.clear();
        self.max_connections.clear();
        if let Some(runtime) = runtime {
            self.observe(runtime);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn observe(&self, runtime: &RuntimeConfig) {
        runtime.models.iter().for_each(|model| self.model(model));
        if let Some(certificate) = &runtime.tls {
            self.certificate
                .get_or_create(&NoLabels {})
                .set(certificate.not_after);
        }
        self.max_connections
            .get_or_create(&NoLabels {})
            .set(i64::from(runtime.limits.max_connections));
    }

    fn model(&self, model: &ModelEntry) {
        let current = match &model.backend {
            Backend::Local(slot) => {
                // There from the start, so that the first wait is seen as one.
                self.queue_waits(&model.name);
                let state = slot.state();
                // There before it is loaded, so that its first request is seen as one.
                let done = match &state {
                    SlotState::Ready(Loaded::Text(engine), _) => engine.stats(),
                    _ => ModelStats::default(),
                };
                self.engines.observe(&model.name, done);
                self.local(&model.name, &state);
                state.label()
            }
            Backend::Unavailable { .. } => UNAVAILABLE,
            // Whether a remote model answers is told by its requests.
            Backend::Remote(remote) => {
                let labels = ModelLabels {
                    model: model.name.clone(),
                };
                let now = Instant::now();
                let is_resting = remote.health.rest(now).is_some();
                self.resting.get_or_create(&labels).set(is_resting.into());
                self.keys(&model.name, remote, now);
                return;
            }
        };
        for state in SlotState::LABELS.into_iter().chain([UNAVAILABLE]) {
            let labels = ModelStateLabels {
                model: model.name.clone(),
                state,
            };
            self.model_states
                .get_or_create(&labels)
                .set(i64::from(state == current));
        }
    }

    /// What there is to tell of a local model besides its state.
    fn local(&self, model: &str, state: &SlotState) {
        let now = match state {
            SlotState::Failed { kind, .. } => Some(*kind),
            _ => None,
        };
        for kind in FailureKind::ALL {
            let labels = ModelFailureLabels {
                model: model.to_owned(),
                reason: kind.label(),
            };
            let is_now = now == Some(kind);
            self.model_failed.get_or_create(&labels).set(is_now.into());
        }
        let fetched = match state {
            SlotState::Fetching(progress) => progress.done,
            _ => 0,
        };
        let labels = ModelLabels {
            model: model.to_owned(),
        };
        let fetched = i64::try_from(fetched).unwrap_or(i64::MAX);
        self.model_fetched.get_or_create(&labels).set(fetched);
    }

    fn pool(&self, pool: &PoolFigures) {
        let PoolFigures {
            memory,
            memory_budget,
            disk,
            disk_budget,
        } = pool;
        for (what, bytes, budget) in [
            ("memory", *memory, *memory_budget),
            ("disk", disk.bytes, *disk_budget),
        ] {
            let labels = PoolLabels { what };
            let gauge = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
            self.pool_bytes.get_or_create(&labels).set(gauge(bytes));
            if let Some(budget) = budget {
                self.pool_budgets.get_or_create(&labels).set(gauge(budget));
            }
        }
    }

    /// A single key is never left alone.
    fn keys(&self, model: &str, remote: &Remote, now: Instant) {
        let keys = &remote.config.credentials;
        if keys.len() < 2 {
            return;
        }
        for (index, key) in keys.iter().enumerate() {
            let labels = KeyLabels {
                model: model.to_owned(),
                key: key.name.clone(),
            };
            let is_resting = remote.keys.rest(index, now).is_some();
            self.keys_resting
                .get_or_create(&labels)
                .set(is_resting.into());
        }
    }
}

fn register_mail(registry: &mut Registry, mail: &mailbox::Counters) {
    let mailbox::Counters {
        encrypted,
        unreadable,
    } = mail;
    add(registry, &catalog::STATE_ENCRYPTED, encrypted.clone());
    add(registry, &catalog::STATE_UNREADABLE, unreadable.clone());
}

fn register_audit(registry: &mut Registry, audit: &audit::Counters) {
    add(registry, &catalog::AUDIT_RECORDS, audit.records.clone());
    add(registry, &catalog::AUDIT_BYTES, audit.bytes.clone());
    add(registry, &catalog::AUDIT_LOST, audit.lost.clone());
    add(registry, &catalog::AUDIT_FAILING, audit.failing.clone());
    let sinks = &audit.sinks;
    add(registry, &catalog::AUDIT_SINK_BEHIND, sinks.behind.clone());
    add(registry, &catalog::AUDIT_SINK_SENT, sinks.sent.clone());
    let failures = sinks.failures.clone();
    add(registry, &catalog::AUDIT_SINK_FAILURES, failures);
}

fn add(registry: &mut Registry, metric: &Metric, values: impl prometheus_client::registry::Metric) {
    registry.register(metric.family(), metric.help, values);
}

#[cfg(test)]
mod tests;
