//! Alerting rules as the groups of a `PrometheusRule`.

mod gateway;
mod operator;

use serde_json::{Value, json};

use super::GatewayRef;

/// One rule.
struct Alert {
    name: &'static str,
    /// True while something is wrong.
    expr: String,
    /// How long it has to be wrong.
    lasting: &'static str,
    severity: Severity,
    summary: &'static str,
    /// With the values, as a template of Prometheus.
    description: &'static str,
}

/// How soon somebody should look.
#[derive(Clone, Copy)]
enum Severity {
    /// Within the day.
    Warning,
    /// Now: users are affected, or will be at the next restart.
    Critical,
}

/// `spec.groups` of the rules for one gateway. Each rule's runbook is `runbook_base` and its name, as `.md`.
pub fn alert_groups(gateway: &GatewayRef<'_>, runbook_base: &str) -> Value {
    json!([group(
        "claw-gateway",
        &gateway::alerts(gateway),
        runbook_base
    )])
}

/// `spec.groups` of the rules for operators.
pub fn operator_alert_groups(runbook_base: &str) -> Value {
    json!([group("claw-operator", &operator::alerts(), runbook_base)])
}

fn group(name: &str, alerts: &[Alert], runbook_base: &str) -> Value {
    let rules: Vec<Value> = alerts
        .iter()
        .map(|alert| alert.to_json(runbook_base))
        .collect();
    json!({"name": name, "rules": rules})
}

impl Alert {
    fn to_json(&self, runbook_base: &str) -> Value {
        let Self {
            name,
            expr,
            lasting,
            severity,
            summary,
            description,
        } = self;
        json!({
            "alert": name,
            "expr": expr,
            "for": lasting,
            "labels": {"severity": severity.label()},
            "annotations": {
                "summary": summary,
                "description": description,
                "runbook_url": format!("{}/{name}.md", runbook_base.trim_end_matches('/')),
            },
        })
    }
}

impl Severity {
    const fn label(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
