//! What Prometheus warns of, where its operator is installed.

use serde_json::json;

use super::{object_meta, with_labels};
use crate::{
    claw_gateway::validate::ValidatedGateway,
    kinds::PrometheusRule,
    monitoring::{GatewayRef, alert_groups},
};

pub(super) fn build(gateway: &ValidatedGateway) -> Option<PrometheusRule> {
    let more = gateway.observability.alerts.as_ref()?;
    let metadata = object_meta(gateway, gateway.name.prometheus_rule());
    let watched = GatewayRef {
        namespace: &gateway.namespace,
        name: gateway.name.as_str(),
    };
    let spec = json!({"groups": alert_groups(&watched, &gateway.observability.runbook_base)});
    Some(PrometheusRule::new(with_labels(metadata, more), spec))
}
