//! What is told of the gateway, and to whom.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logs, metrics, alerts, dashboards and traces.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// What is logged. A change is taken up by the running pods.
    #[serde(default)]
    pub log_level: LogLevel,

    /// The form of the log lines.
    #[serde(default)]
    pub log_format: LogFormat,

    /// How Prometheus finds the gateway's metrics: a PodMonitor, while the cluster has that kind.
    #[serde(default)]
    pub pod_monitor: Monitoring,

    /// Alerts on the gateway: a PrometheusRule, while the cluster has that kind.
    #[serde(default)]
    pub alerts: Monitoring,

    /// A Grafana dashboard: a ConfigMap with the label grafana_dashboard: "1".
    #[serde(default)]
    pub dashboard: Dashboard,

    /// Where the spans of requests are sent; nowhere when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Traces, sent by OTLP.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Base URL of a collector that takes OTLP over HTTP, e.g. `http://collector.ops.svc:4318`. Spans are sent
    /// to /v1/traces below it; the network policy lets them through.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub otlp_endpoint: String,

    /// Of the requests that do not come with a trace of their own, how many in a hundred are traced. All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub sampling_percent: Option<i32>,
}

/// An object for the Prometheus operator.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitoring {
    /// Whether it is made.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Further labels of the object, by which a Prometheus selects what it reads, e.g. release: prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            enabled: true,
            labels: None,
        }
    }
}

const fn yes() -> bool {
    true
}

/// A dashboard.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboard {
    /// Whether it is made.
    #[serde(default)]
    pub enabled: bool,

    /// Further labels of the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// What is logged: each level and those above it.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// What failed and needs somebody.
    Error,
    /// What went wrong and was dealt with.
    Warn,
    /// What happens, with a line for every request.
    #[default]
    Info,
    /// And how.
    Debug,
}

/// The form of log lines.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}
