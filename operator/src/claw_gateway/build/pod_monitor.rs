//! How Prometheus finds the gateway's metrics, where its operator is installed. A PodMonitor, since the management port
//! is in no Service.

use serde_json::json;

use super::{deployment::MANAGEMENT_PORT_NAME, object_meta, with_labels};
use crate::{claw_gateway::validate::ValidatedGateway, kinds::PodMonitor, labels, monitoring};

pub(super) fn build(gateway: &ValidatedGateway) -> Option<PodMonitor> {
    let more = gateway.observability.pod_monitor.as_ref()?;
    let metadata = object_meta(gateway, gateway.name.pod_monitor());
    let spec = json!({
        "selector": {"matchLabels": labels::of_pods(&gateway.name)},
        "podMetricsEndpoints": [{
            "port": MANAGEMENT_PORT_NAME,
            "path": "/metrics",
            "relabelings": monitoring::target_relabelings(),
        }],
    });
    Some(PodMonitor::new(with_labels(metadata, more), spec))
}
