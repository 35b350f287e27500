//! Grafana dashboards, made of the metric catalog.

mod gateway;
mod grafana;
mod operator;

use serde_json::Value;

use super::GatewayRef;
use grafana::{Dashboard, Variable};

/// The dashboard of gateways, which shows `gateway` until its reader chooses another.
pub fn dashboard(gateway: &GatewayRef<'_>) -> Value {
    let GatewayRef { namespace, name } = gateway;
    Dashboard {
        uid: uid(&format!("{namespace}/{name}")),
        title: format!("Gateway {namespace}/{name}"),
        variables: vec![
            Variable::query("namespace", gateway::NAMESPACES, namespace),
            Variable::query("gateway", gateway::GATEWAYS, name),
        ],
        rows: gateway::rows(),
    }
    .to_json()
}

/// The dashboard of operators.
pub fn operator_dashboard() -> Value {
    Dashboard {
        uid: uid("operator"),
        title: "Claw operator".to_owned(),
        variables: vec![Variable::query("namespace", operator::NAMESPACES, "")],
        rows: operator::rows(),
    }
    .to_json()
}

/// The same for the same gateway, so that an upgrade replaces the dashboard (FNV-1a); Grafana allows 40 characters.
fn uid(of: &str) -> String {
    let hash = of.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("claw-{hash:016x}")
}
