//! What others know of a sink: how far it is, and what is wrong with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use claw_crds::gateway_config::AuditSinkConfig;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A sink by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SinkLabels {
    sink: String,
}

/// Counts, shared with the metrics.
#[derive(Clone, Debug, Default)]
pub struct SinkCounters {
    /// Records that a sink has yet to get.
    pub behind: Family<SinkLabels, Gauge>,
    /// Records handed over.
    pub sent: Family<SinkLabels, Counter>,
    /// Tries that failed.
    pub failures: Family<SinkLabels, Counter>,
}

impl SinkCounters {
    pub(in crate::audit) fn sent(&self, sink: &str, records: usize) {
        self.sent
            .get_or_create(&labels(sink))
            .inc_by(records as u64);
    }

    pub(in crate::audit) fn failed(&self, sink: &str) {
        self.failures.get_or_create(&labels(sink)).inc();
    }

    pub(super) fn forget(&self, sink: &str) {
        self.behind.remove(&labels(sink));
        self.sent.remove(&labels(sink));
        self.failures.remove(&labels(sink));
    }

    /// Set what is looked at rather than counted.
    pub fn observe(&self, reports: &[SinkReport]) {
        for report in reports {
            let labels = labels(&report.name);
            let behind = i64::try_from(report.behind).unwrap_or(i64::MAX);
            self.behind.get_or_create(&labels).set(behind);
            // From the start, so that their rates are known from the start.
            let _ = self.sent.get_or_create(&labels);
            let _ = self.failures.get_or_create(&labels);
        }
    }
}

fn labels(sink: &str) -> SinkLabels {
    SinkLabels {
        sink: sink.to_owned(),
    }
}

/// How a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// Records that it has yet to get.
    pub behind: u64,
    /// Whether requests are refused because of it.
    pub is_blocking: bool,
    /// Why it does not get them.
    pub fault: Option<String>,
}

/// What a courier tells.
#[derive(Debug, Default)]
pub(in crate::audit) struct Standing {
    name: String,
    max_behind: Option<u64>,
    sent: AtomicU64,
    /// Where not every record counts: those that do.
    backlog: Option<AtomicU64>,
    has_caught_up: AtomicBool,
    fault: ArcSwapOption<String>,
}

impl Standing {
    pub(super) fn new(config: &AuditSinkConfig) -> Self {
        Self {
            name: config.name.clone(),
            max_behind: config.max_behind.map(u64::from),
            ..Self::default()
        }
    }

    /// Of an archive, which is behind by what could be in it.
    pub(super) fn of_archive(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            backlog: Some(AtomicU64::new(0)),
            ..Self::default()
        }
    }

    pub(in crate::audit) fn set_backlog(&self, records: u64) {
        if let Some(backlog) = &self.backlog {
            backlog.store(records, Ordering::Release);
        }
    }

    pub(super) fn blocks(&self) -> bool {
        self.max_behind.is_some()
    }

    pub(super) fn max_behind(&self) -> Option<u64> {
        self.max_behind
    }

    /// It is known to have this record, and not the next one.
    pub(super) fn reach(&self, sequence: u64, has_caught_up: bool) {
        self.sent.store(sequence, Ordering::Release);
        self.has_caught_up.store(has_caught_up, Ordering::Release);
    }

    pub(in crate::audit) fn succeed(&self) {
        if self.fault.swap(None).is_some() {
            tracing::info!(sink = self.name, "the audit sink takes records again");
        }
    }

    pub(in crate::audit) fn fail(&self, fault: String) {
        let is_news = self
            .fault
            .load()
            .as_ref()
            .is_none_or(|before| **before != fault);
        if is_news {
            tracing::warn!(
                sink = self.name,
                fault,
                "audit records cannot be sent; they wait in the log"
            );
            self.fault.store(Some(Arc::new(fault)));
        }
    }

    fn behind(&self, acknowledged: u64) -> u64 {
        self.backlog.as_ref().map_or_else(
            || acknowledged.saturating_sub(self.sent.load(Ordering::Acquire)),
            |backlog| backlog.load(Ordering::Acquire),
        )
    }

    pub(super) fn is_too_far_behind(&self, acknowledged: u64) -> bool {
        self.max_behind
            .is_some_and(|most| self.behind(acknowledged) > most)
            && self.has_caught_up.load(Ordering::Acquire)
    }

    pub(super) fn report(&self, acknowledged: u64) -> SinkReport {
        SinkReport {
            name: self.name.clone(),
            behind: self.behind(acknowledged),
            is_blocking: self.is_too_far_behind(acknowledged),
            fault: self.fault.load_full().map(|fault| fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::{AuditTargetConfig, ClientTlsConfig};

    use super::*;

    #[test]
    fn only_a_sink_that_once_had_everything_holds_others_up() {
        let standing = Standing::new(&AuditSinkConfig {
            name: "siem".into(),
            max_behind: Some(100),
            target: AuditTargetConfig::Syslog {
                host: "siem".into(),
                port: 6514,
                tls: ClientTlsConfig::default(),
            },
        });
        assert!(!standing.is_too_far_behind(5000));
        standing.reach(4900, true);
        assert!(!standing.is_too_far_behind(5000) && standing.is_too_far_behind(5001));
    }
}
