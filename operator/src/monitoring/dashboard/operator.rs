//! What is worth seeing of the operator.

use claw_crds::metric_catalog::operator as metrics;

use super::grafana::{Panel, Row};

/// The namespaces with operators.
pub(super) const NAMESPACES: &str = "label_values(claw_operator_build_info, namespace)";
/// The chosen operators' series.
const OF: &str = r#"namespace="$namespace""#;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            title: "Reconciles",
            panels: reconciles(),
        },
        Row {
            title: "API server",
            panels: api_server(),
        },
        Row {
            title: "State",
            panels: state(),
        },
    ]
}

fn reconciles() -> Vec<Panel> {
    let all = metrics::RECONCILES.name;
    let durations = metrics::RECONCILE_DURATION.buckets();
    let errors = metrics::RECONCILE_ERRORS.name;
    let queue = metrics::QUEUE_DEPTH.name;
    vec![
        Panel::new("Reconciles", "ops").line(
            format!("sum by (kind, outcome) (rate({all}{{{OF}}}[$__rate_interval]))"),
            "{{kind}} {{outcome}}",
        ),
        Panel::new("Duration, p99", "s").line(
            format!(
                "histogram_quantile(0.99, sum by (kind, le) (rate({durations}{{{OF}}}[$__rate_interval])))"
            ),
            "{{kind}}",
        ),
        Panel::new("Errors", "ops").line(
            format!("sum by (kind, reason) (rate({errors}{{{OF}}}[$__rate_interval]))"),
            "{{kind}} {{reason}}",
        ),
        Panel::new("Waiting objects", "short")
            .line(format!("sum by (kind) ({queue}{{{OF}}})"), "{{kind}}"),
    ]
}

fn api_server() -> Vec<Panel> {
    let writes = metrics::API_WRITES.name;
    let restarts = metrics::WATCH_RESTARTS.name;
    vec![
        Panel::new("Writes", "reqps").line(
            format!("sum by (resource, verb) (rate({writes}{{{OF}}}[$__rate_interval]))"),
            "{{verb}} {{resource}}",
        ),
        Panel::new("Interrupted watches", "ops").line(
            format!("sum by (kind) (rate({restarts}{{{OF}}}[$__rate_interval]))"),
            "{{kind}}",
        ),
    ]
}

fn state() -> Vec<Panel> {
    let leader = metrics::LEADER.name;
    let expiry = metrics::CERTIFICATE_EXPIRY.name;
    let version = metrics::BUILD_INFO.name;
    vec![
        Panel::new("Leader", "bool_yes_no").line(format!("{leader}{{{OF}}}"), "{{pod}}"),
        Panel::new("Certificates that end first", "s").line(
            format!("bottomk(5, {expiry}{{{OF}}} - time())"),
            "{{gateway_namespace}}/{{gateway}}",
        ),
        Panel::new("Pods of each version", "short").line(
            format!("count by (version) ({version}{{{OF}}})"),
            "{{version}}",
        ),
    ]
}
