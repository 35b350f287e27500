//! What is told of the gateway, and to whom.

use std::collections::BTreeMap;

use claw_crds::{
    ClawGatewaySpec,
    claw_gateway::{Dashboard, LogFormat, LogLevel, Monitoring, Observability},
};

use crate::kinds::{KindSet, OptionalKind};

type Labels = BTreeMap<String, String>;

/// What is told of the gateway. Where labels are given, the object is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedObservability {
    /// Debug lines, too.
    pub is_verbose: bool,
    /// As the gateway's flag has it.
    pub log_format: &'static str,
    /// Further labels of the PodMonitor.
    pub pod_monitor: Option<Labels>,
    /// Further labels of the PrometheusRule.
    pub alerts: Option<Labels>,
    /// Where the alerts' runbooks are.
    pub runbook_base: String,
    /// Further labels of the dashboard.
    pub dashboard: Option<Labels>,
}

pub(super) fn validate(
    spec: &ClawGatewaySpec,
    kinds: KindSet,
    runbook_base: &str,
) -> ValidatedObservability {
    let Observability {
        log_level,
        log_format,
        pod_monitor,
        alerts,
        dashboard: Dashboard { enabled, labels },
    } = spec.observability.clone();
    let made = |monitoring: Monitoring, kind| {
        let is_made = monitoring.enabled && kinds.has(kind);
        is_made.then(|| monitoring.labels.unwrap_or_default())
    };
    ValidatedObservability {
        is_verbose: log_level == LogLevel::Debug,
        log_format: match log_format {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        },
        pod_monitor: made(pod_monitor, OptionalKind::PodMonitor),
        alerts: made(alerts, OptionalKind::PrometheusRule),
        runbook_base: runbook_base.to_owned(),
        dashboard: enabled.then(|| labels.unwrap_or_default()),
    }
}
