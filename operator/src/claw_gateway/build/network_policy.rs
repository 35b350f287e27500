//! Nothing reaches the pods, and the pods reach nothing, but what a gateway needs. Why each rule is as it is stands in
//! `docs/adr/0006-what-the-network-lets-through.md`.

mod egress;
mod ingress;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::object_meta;
use crate::{claw_gateway::validate::ValidatedGateway, labels};

pub(super) fn build(gateway: &ValidatedGateway) -> Option<NetworkPolicy> {
    let network = gateway.network.as_ref()?;
    Some(NetworkPolicy {
        metadata: object_meta(gateway, gateway.name.network_policy()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels::of_pods(&gateway.name)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(ingress::rules(network)),
            egress: Some(egress::rules(network)),
        }),
    })
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    }
}

/// Pods of every namespace with this label, or all of them.
fn pods_anywhere(name: Option<&str>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: name.map(|name| label("app.kubernetes.io/name", name)),
        ..NetworkPolicyPeer::default()
    }
}

fn label(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some([(key.to_owned(), value.to_owned())].into()),
        ..LabelSelector::default()
    }
}
