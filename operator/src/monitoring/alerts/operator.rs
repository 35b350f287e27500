//! The rules of the operator.

use claw_crds::metric_catalog::operator as metrics;

use super::{Alert, Severity};

pub(super) fn alerts() -> Vec<Alert> {
    let errors = metrics::RECONCILE_ERRORS.name;
    let leader = metrics::LEADER.name;
    let queue = metrics::QUEUE_DEPTH.name;
    let restarts = metrics::WATCH_RESTARTS.name;
    vec![
        Alert {
            name: "ClawOperatorAbsent",
            expr: format!("absent({leader})"),
            lasting: "5m",
            severity: Severity::Critical,
            summary: "No operator is there",
            description: "No claw-operator has been scraped for 5 minutes. Gateways serve on, but changes are not \
                taken and certificates are not renewed.",
        },
        Alert {
            name: "ClawOperatorNoLeader",
            expr: format!("sum by (namespace) ({leader}) == 0"),
            lasting: "2m",
            severity: Severity::Critical,
            summary: "No operator leads",
            description: "None of the claw-operator pods in {{ $labels.namespace }} has held the Lease for 2 \
                minutes. Changes are not taken and certificates are not renewed.",
        },
        Alert {
            name: "ClawOperatorReconcileErrors",
            expr: format!("sum by (namespace, kind, reason) (rate({errors}[5m])) * 60 > 0.2"),
            lasting: "15m",
            severity: Severity::Warning,
            summary: "The operator fails to reconcile",
            description: "Reconciles of {{ $labels.kind }} have failed in step {{ $labels.reason }} for 15 minutes, \
                {{ $value | humanize }} times a minute.",
        },
        Alert {
            name: "ClawOperatorQueueStuck",
            expr: format!("min_over_time({queue}[10m]) > 0"),
            lasting: "5m",
            severity: Severity::Warning,
            summary: "The operator falls behind",
            description: "{{ $value | humanize }} or more objects of kind {{ $labels.kind }} have waited for \
                operator pod {{ $labels.pod }} all the time for 15 minutes.",
        },
        Alert {
            name: "ClawOperatorWatchRestarts",
            expr: format!("sum by (namespace, kind) (rate({restarts}[5m])) * 60 > 1"),
            lasting: "15m",
            severity: Severity::Warning,
            summary: "The operator's watches break again and again",
            description: "The watch of {{ $labels.kind }} is interrupted {{ $value | humanize }} times a minute. \
                Changes are seen late.",
        },
    ]
}
