//! The rules of one gateway.

use claw_crds::metric_catalog::{gateway as metrics, process};

use super::{Alert, GatewayRef, Severity};

/// All rules. Aggregations keep `namespace` and `gateway`, by which alerts are routed and silenced.
pub(super) fn alerts(gateway: &GatewayRef<'_>) -> Vec<Alert> {
    let of = gateway.matchers();
    let mut alerts = resources(&of);
    alerts.extend(answers(&of));
    alerts.extend(state(&of));
    alerts.extend(audit(&of));
    alerts
}

fn resources(of: &str) -> Vec<Alert> {
    let cpu = process::CPU_SECONDS.name;
    let capacity = metrics::CPU_CAPACITY.name;
    let memory = process::RESIDENT_MEMORY.name;
    let limit = metrics::MEMORY_LIMIT.name;
    vec![
        Alert {
            name: "ClawGatewayCpuHigh",
            expr: format!("rate({cpu}{{{of}}}[2m]) / {capacity}{{{of}}} > 0.85"),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "A gateway pod uses nearly all of its CPU",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} has used \
                {{ $value | humanizePercentage }} of its CPU for 5 minutes (limit 85%). Answers become slow.",
        },
        Alert {
            name: "ClawGatewayMemoryHigh",
            expr: format!("{memory}{{{of}}} / {limit}{{{of}}} > 0.9"),
            lasting: "2m",
            severity: Severity::Critical,
            summary: "A gateway pod is about to run out of memory",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} uses \
                {{ $value | humanizePercentage }} of its memory limit (limit 90%). At 100% it is killed.",
        },
    ]
}

fn answers(of: &str) -> Vec<Alert> {
    let latency = metrics::REQUEST_LATENCY.buckets();
    let logs = metrics::LOG_EVENTS.name;
    vec![
        Alert {
            name: "ClawGatewayLatencyHigh",
            expr: format!(
                "histogram_quantile(0.99, sum by (namespace, gateway, le) (rate({latency}{{{of}}}[5m]))) > 0.5"
            ),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "Answers of a gateway begin late",
            description: "1 of 100 requests to gateway {{ $labels.namespace }}/{{ $labels.gateway }} waits \
                {{ $value | humanizeDuration }} or longer for its answer to begin (limit 500ms).",
        },
        Alert {
            name: "ClawGatewayErrorLogs",
            expr: format!(
                r#"sum by (namespace, gateway) (rate({logs}{{{of},level="error"}}[5m])) * 60 > 10"#
            ),
            lasting: "1m",
            severity: Severity::Warning,
            summary: "A gateway logs many errors",
            description: "Gateway {{ $labels.namespace }}/{{ $labels.gateway }} logs \
                {{ $value | humanize }} errors a minute (limit 10).",
        },
    ]
}

fn state(of: &str) -> Vec<Alert> {
    let expiry = metrics::CERTIFICATE_EXPIRY.name;
    let refused = metrics::CONFIG_REFUSED.name;
    let model = metrics::MODEL_STATE.name;
    let writable = metrics::STORE_WRITABLE.name;
    vec![
        Alert {
            name: "ClawGatewayCertificateExpiring",
            // The operator renews its own at two thirds of their life, with 30 days left.
            expr: format!("{expiry}{{{of}}} - time() < 14 * 24 * 3600"),
            lasting: "15m",
            severity: Severity::Critical,
            summary: "A gateway's certificate ends soon and was not renewed",
            description: "The certificate that pod {{ $labels.pod }} of gateway \
                {{ $labels.namespace }}/{{ $labels.gateway }} serves ends in {{ $value | humanizeDuration }} \
                (limit 14 days).",
        },
        Alert {
            name: "ClawGatewayConfigRejected",
            expr: format!("{refused}{{{of}}} == 1"),
            lasting: "1m",
            severity: Severity::Warning,
            summary: "A gateway refuses its newest configuration",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} refuses the \
                newest configuration and serves an older one. Its /status and its log name every problem.",
        },
        Alert {
            name: "ClawGatewayModelNotReady",
            // What is loaded on demand need not be loaded.
            expr: format!(
                r#"{model}{{{of},state="ready"}} == 0 unless ignoring(state) {model}{{{of},state="standby"}} == 1"#
            ),
            // Downloads and imports of a large model take that long.
            lasting: "15m",
            severity: Severity::Warning,
            summary: "A model of a gateway is not ready",
            description: "Model {{ $labels.model }} in pod {{ $labels.pod }} of gateway \
                {{ $labels.namespace }}/{{ $labels.gateway }} has not been ready for 15 minutes.",
        },
        Alert {
            name: "ClawGatewayStoreUnwritable",
            expr: format!("{writable}{{{of}}} == 0"),
            lasting: "1m",
            severity: Severity::Critical,
            summary: "A gateway cannot write its state",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} cannot \
                write to its state directory, and is not ready because of it.",
        },
    ]
}

fn audit(of: &str) -> Vec<Alert> {
    let failing = metrics::AUDIT_FAILING.name;
    let lost = metrics::AUDIT_LOST.name;
    let failures = metrics::AUDIT_SINK_FAILURES.name;
    let sent = metrics::AUDIT_SINK_SENT.name;
    vec![
        Alert {
            name: "ClawGatewayAuditSinkFailing",
            expr: format!(
                "increase({failures}{{{of}}}[10m]) > 0 unless increase({sent}{{{of}}}[10m]) > 0"
            ),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "A gateway cannot send its audit records on",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} has not been \
                able to reach its audit sink {{ $labels.sink }} for 15 minutes. The records wait in its log.",
        },
        Alert {
            name: "ClawGatewayAuditFailing",
            expr: format!("{failing}{{{of}}} == 1"),
            lasting: "1m",
            severity: Severity::Critical,
            summary: "A gateway cannot write its audit log",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} cannot write \
                audit records. With audit.onFailure Block it refuses requests.",
        },
        Alert {
            name: "ClawGatewayAuditLost",
            expr: format!("increase({lost}{{{of}}}[15m]) > 0"),
            lasting: "0s",
            severity: Severity::Critical,
            summary: "A gateway has served requests without audit records",
            description: "Pod {{ $labels.pod }} of gateway {{ $labels.namespace }}/{{ $labels.gateway }} has lost \
                audit records within the last 15 minutes.",
        },
    ]
}
