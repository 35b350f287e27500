//! The metrics of the operator.

use super::{Metric, Unit};

/// Reconciles that ended.
pub const RECONCILES: Metric = Metric::counter(
    "claw_operator_reconciles_total",
    &["kind", "outcome"],
    "Reconciles by kind and outcome, success or error",
);
/// How long they took.
pub const RECONCILE_DURATION: Metric = Metric::histogram(
    "claw_operator_reconcile_duration_seconds",
    &["kind"],
    "How long reconciles took",
)
.measured_in(Unit::Seconds);
/// What failed.
pub const RECONCILE_ERRORS: Metric = Metric::counter(
    "claw_operator_reconcile_errors_total",
    &["kind", "reason"],
    "Failed reconciles by the step that failed",
);
/// What waits.
pub const QUEUE_DEPTH: Metric = Metric::gauge(
    "claw_operator_queue_depth",
    &["kind"],
    "Objects that changed and whose reconcile has not begun",
);
/// What was written.
pub const API_WRITES: Metric = Metric::counter(
    "claw_operator_api_writes_total",
    &["resource", "verb"],
    "Requests that write to the API server, by resource and verb",
);
/// Watches that broke.
pub const WATCH_RESTARTS: Metric = Metric::counter(
    "claw_operator_watch_restarts_total",
    &["kind"],
    "Watches that were interrupted and taken up again",
);
/// Who reconciles.
pub const LEADER: Metric = Metric::gauge(
    "claw_operator_leader",
    &[],
    "1 while this process reconciles",
);
/// The ends of the gateways' certificates.
pub const CERTIFICATE_EXPIRY: Metric = Metric::gauge(
    "claw_operator_certificate_expiry_timestamp_seconds",
    &["gateway_namespace", "gateway"],
    "When the serving certificate of a gateway ends",
)
.measured_in(Unit::UnixSeconds);
/// Which program this is.
pub const BUILD_INFO: Metric = Metric::gauge(
    "claw_operator_build_info",
    &["version"],
    "1, with the version of the program",
);

/// All of them.
pub const ALL: &[&Metric] = &[
    &RECONCILES,
    &RECONCILE_DURATION,
    &RECONCILE_ERRORS,
    &QUEUE_DEPTH,
    &API_WRITES,
    &WATCH_RESTARTS,
    &LEADER,
    &CERTIFICATE_EXPIRY,
    &BUILD_INFO,
];
