//! What the operator counts, in the Prometheus text format.
//!
//! Names, labels and meanings stand in [`claw_crds::metric_catalog`].

mod queue;
mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use claw_crds::metric_catalog::{Metric, operator as catalog};
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use queue::Queues;
pub use writes::{CountWrites, CountWritesLayer};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    kind: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    kind: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Write {
    resource: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Gateway {
    gateway_namespace: String,
    gateway: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

type IntGauge = Gauge<i64, AtomicI64>;

type Durations = Family<Kind, Histogram, fn() -> Histogram>;

/// All counters; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<Outcome, Counter<u64, AtomicU64>>,
    durations: Durations,
    errors: Family<Reason, Counter<u64, AtomicU64>>,
    writes: Family<Write, Counter<u64, AtomicU64>>,
    watch_restarts: Family<Kind, Counter<u64, AtomicU64>>,
    queues: Queues,
    leader: IntGauge,
    certificate_expiry: Family<Gateway, IntGauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 15))
            }),
            errors: Family::default(),
            writes: Family::default(),
            watch_restarts: Family::default(),
            queues: Queues::default(),
            leader: Gauge::default(),
            certificate_expiry: Family::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let build: Family<Version, IntGauge> = Family::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&Version { version }).set(1);
        let mut all = Registry::default();
        add(&mut all, &catalog::BUILD_INFO, build);
        add(&mut all, &catalog::RECONCILES, self.reconciles.clone());
        add(
            &mut all,
            &catalog::RECONCILE_DURATION,
            self.durations.clone(),
        );
        add(&mut all, &catalog::RECONCILE_ERRORS, self.errors.clone());
        add(&mut all, &catalog::QUEUE_DEPTH, self.queues.depths.clone());
        add(&mut all, &catalog::API_WRITES, self.writes.clone());
        add(
            &mut all,
            &catalog::WATCH_RESTARTS,
            self.watch_restarts.clone(),
        );
        add(&mut all, &catalog::LEADER, self.leader.clone());
        let expiry = self.certificate_expiry.clone();
        add(&mut all, &catalog::CERTIFICATE_EXPIRY, expiry);
        all
    }

    /// An object has to be reconciled.
    pub fn queued(&self, kind: &str, key: crate::dispatch::Key) {
        self.queues.put(kind, key);
    }

    /// Its reconcile begins, or it is gone.
    pub fn taken(&self, kind: &str, key: &crate::dispatch::Key) {
        self.queues.take(kind, key);
    }

    /// Nothing waits any more: the controllers have ended, and what waited for them is asked for again by the next.
    pub fn clear_queues(&self) {
        self.queues.clear();
    }

    /// Nothing is known of any object: another process leads, and tells of them.
    pub fn forget_objects(&self) {
        self.clear_queues();
        self.certificate_expiry.clear();
    }

    /// A reconcile ended; `error` names the step that failed.
    pub fn reconciled(&self, kind: &str, took: Duration, error: Option<&'static str>) {
        let kind = kind.to_owned();
        let outcome = if error.is_none() { "success" } else { "error" };
        if let Some(reason) = error {
            let kind = kind.clone();
            self.errors.get_or_create(&Reason { kind, reason }).inc();
        }
        self.durations
            .get_or_create(&Kind { kind: kind.clone() })
            .observe(took.as_secs_f64());
        self.reconciles
            .get_or_create(&Outcome { kind, outcome })
            .inc();
    }

    /// A watch was interrupted.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_restarts
            .get_or_create(&Kind {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Whether this process reconciles.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// When a gateway's certificate ends; none without TLS, or when the gateway is gone.
    pub fn set_certificate_expiry(&self, namespace: &str, gateway: &str, at: Option<Timestamp>) {
        let gateway = Gateway {
            gateway_namespace: namespace.to_owned(),
            gateway: gateway.to_owned(),
        };
        match at {
            Some(at) => {
                self.certificate_expiry
                    .get_or_create(&gateway)
                    .set(at.as_second());
            }
            None => {
                self.certificate_expiry.remove(&gateway);
            }
        }
    }

    /// Counts the writes of a client.
    pub fn count_writes(&self) -> CountWritesLayer {
        CountWritesLayer::new(self.writes.clone())
    }

    /// Everything as text.
    pub fn encode(&self) -> String {
        let mut body = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut body, &self.registry);
        body
    }
}

fn add(registry: &mut Registry, metric: &Metric, values: impl prometheus_client::registry::Metric) {
    registry.register(metric.family(), metric.help, values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reconcile_is_counted_with_its_step() {
        let metrics = Metrics::new();
        metrics.reconciled("ClawGateway", Duration::from_millis(3), Some("Apply"));
        let text = metrics.encode();
        for line in [
            r#"claw_operator_reconciles_total{kind="ClawGateway",outcome="error"} 1"#,
            r#"claw_operator_reconcile_errors_total{kind="ClawGateway",reason="Apply"} 1"#,
            r#"claw_operator_reconcile_duration_seconds_count{kind="ClawGateway"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn the_expiry_goes_with_the_gateway() {
        let metrics = Metrics::new();
        let line = r#"claw_operator_certificate_expiry_timestamp_seconds{gateway_namespace="shop",gateway="desk"} 0"#;
        metrics.set_certificate_expiry("shop", "desk", Some(Timestamp::UNIX_EPOCH));
        assert!(metrics.encode().contains(line), "{}", metrics.encode());
        metrics.set_certificate_expiry("shop", "desk", None);
        assert!(!metrics.encode().contains(line));
    }
}
