//! A way in by the Gateway API, where that is installed.

use claw_crds::{GATEWAY_PORT, claw_gateway};
use serde_json::json;

use super::object_meta;
use crate::{claw_gateway::validate::ValidatedGateway, kinds::HttpRoute};

pub(super) fn build(gateway: &ValidatedGateway) -> Option<HttpRoute> {
    let claw_gateway::HttpRoute {
        parent_refs,
        hostnames,
    } = gateway.exposure.http_route.as_ref()?;
    let mut spec = json!({
        "parentRefs": parent_refs,
        "rules": [{"backendRefs": [{"name": gateway.name.service(), "port": GATEWAY_PORT}]}],
    });
    if let Some(hostnames) = hostnames {
        spec["hostnames"] = json!(hostnames);
    }
    let metadata = object_meta(gateway, gateway.name.http_route());
    Some(HttpRoute::new(metadata, spec))
}
