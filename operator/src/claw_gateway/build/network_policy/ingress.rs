//! What reaches the pods. Probes need no rule: a node always reaches the pods on it.

use claw_crds::{GATEWAY_PORT, MANAGEMENT_PORT};
use k8s_openapi::api::networking::v1::{NetworkPolicyIngressRule, NetworkPolicyPeer};

use super::{pods_anywhere, port};
use crate::claw_gateway::validate::{Callers, ValidatedNetwork};

/// The name that the operator's chart labels its pods with.
const OPERATOR: &str = "claw-operator";
/// The name that Prometheus is labelled with by its operator and its chart.
const PROMETHEUS: &str = "prometheus";

pub(super) fn rules(network: &ValidatedNetwork) -> Vec<NetworkPolicyIngressRule> {
    let readers = network
        .management_from
        .clone()
        .unwrap_or_else(|| vec![pods_anywhere(Some(PROMETHEUS))]);
    let management = [vec![pods_anywhere(Some(OPERATOR))], readers].concat();
    vec![
        rule(GATEWAY_PORT, callers(&network.callers)),
        rule(MANAGEMENT_PORT, Some(management)),
    ]
}

fn callers(callers: &Callers) -> Option<Vec<NetworkPolicyPeer>> {
    match callers {
        Callers::Everyone => None,
        Callers::Cluster => Some(vec![pods_anywhere(None)]),
        Callers::Peers(peers) => Some(peers.clone()),
    }
}

fn rule(number: u16, from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(vec![port("TCP", number)]),
    }
}
