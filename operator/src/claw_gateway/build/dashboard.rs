//! A dashboard, which Grafana's sidecar finds by its label.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{object_meta, with_labels};
use crate::{
    claw_gateway::validate::ValidatedGateway,
    monitoring::{GatewayRef, dashboard},
};

/// What the sidecar looks for unless told otherwise.
const LABEL: (&str, &str) = ("grafana_dashboard", "1");

pub(super) fn build(gateway: &ValidatedGateway) -> Option<ConfigMap> {
    let mut more = gateway.observability.dashboard.clone()?;
    let (key, value) = LABEL;
    more.entry(key.to_owned())
        .or_insert_with(|| value.to_owned());
    let watched = GatewayRef {
        namespace: &gateway.namespace,
        name: gateway.name.as_str(),
    };
    // Grafana keeps dashboards of all namespaces side by side, by the names of their files.
    let file = format!("claw-gateway-{}-{}.json", gateway.namespace, gateway.name);
    let metadata = object_meta(gateway, gateway.name.dashboard());
    Some(ConfigMap {
        metadata: with_labels(metadata, &more),
        data: Some([(file, format!("{:#}", dashboard(&watched)))].into()),
        ..ConfigMap::default()
    })
}
