//! What watches gateways and the operator: alerting rules and dashboards, made of the metric catalog. Pure.
//!
//! Every expression selects by `namespace` and `gateway`. Prometheus adds the first to every target; the second comes
//! from [`target_relabelings`], which belong into whatever scrapes the gateways.

pub mod alerts;
pub mod dashboard;

use serde_json::{Value, json};

pub use alerts::{alert_groups, operator_alert_groups};
pub use dashboard::{dashboard, operator_dashboard};

/// Where runbooks lie unless somebody publishes them: in this repository.
pub const RUNBOOK_BASE: &str = "docs/runbooks";

/// Which gateway is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayRef<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl GatewayRef<'_> {
    /// The label matchers of its series; names of Kubernetes need no escapes.
    fn matchers(&self) -> String {
        let Self { namespace, name } = self;
        format!(r#"namespace="{namespace}",gateway="{name}""#)
    }
}

/// `relabelings` of a `ServiceMonitor` or `PodMonitor` endpoint: the gateway's name, which its pods carry as a label,
/// becomes the label `gateway` of every series.
pub fn target_relabelings() -> Value {
    json!([{
        "sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"],
        "targetLabel": "gateway",
    }])
}

#[cfg(test)]
mod tests;
