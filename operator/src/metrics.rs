//! What the operator counts, in the Prometheus text format.

mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

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
pub use writes::{CountWrites, CountWritesLayer};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    kind: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
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
    namespace: String,
    gateway: String,
}

type Durations = Family<Kind, Histogram, fn() -> Histogram>;

/// All counters; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<Outcome, Counter<u64, AtomicU64>>,
    durations: Durations,
    errors: Family<Reason, Counter<u64, AtomicU64>>,
    writes: Family<Write, Counter<u64, AtomicU64>>,
    watch_errors: Family<Kind, Counter<u64, AtomicU64>>,
    leader: Gauge<i64, AtomicI64>,
    certificate_expiry: Family<Gateway, Gauge<i64, AtomicI64>>,
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
            watch_errors: Family::default(),
            leader: Gauge::default(),
            certificate_expiry: Family::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut all = Registry::with_prefix("claw_operator");
        all.register(
            "reconciles",
            "Reconciles, by kind and outcome",
            self.reconciles.clone(),
        );
        all.register(
            "reconcile_duration_seconds",
            "How long reconciles took",
            self.durations.clone(),
        );
        all.register(
            "reconcile_errors",
            "Failed reconciles, by the step that failed",
            self.errors.clone(),
        );
        all.register(
            "api_writes",
            "Requests that write to the API server, by resource and verb",
            self.writes.clone(),
        );
        all.register(
            "watch_errors",
            "Interruptions of watches; they are taken up again",
            self.watch_errors.clone(),
        );
        all.register(
            "leader",
            "1 while this process reconciles",
            self.leader.clone(),
        );
        all.register(
            "certificate_expiry_timestamp_seconds",
            "When the serving certificate of a gateway ends",
            self.certificate_expiry.clone(),
        );
        all
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
        self.watch_errors
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
            namespace: namespace.to_owned(),
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
        let line = r#"claw_operator_certificate_expiry_timestamp_seconds{namespace="shop",gateway="desk"} 0"#;
        metrics.set_certificate_expiry("shop", "desk", Some(Timestamp::UNIX_EPOCH));
        assert!(metrics.encode().contains(line), "{}", metrics.encode());
        metrics.set_certificate_expiry("shop", "desk", None);
        assert!(!metrics.encode().contains(line));
    }
}
