//! Who may reach the pods, and what they may reach.

use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The pods' NetworkPolicy. It takes effect where the cluster's network enforces such policies.
///
/// Nothing is let in but requests on port 18789 and, from the operator and Prometheus, the management port 18790.
/// Nothing is let out but DNS, the Kubernetes API server, and what the models, channels and token issuers name by their URLs: hosts
/// of the internet on public addresses, addresses as they stand, and names of Services in their namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.enabled || !(has(self.ingressFrom) || has(self.managementFrom) || has(self.apiServerRanges) || has(self.egress))")
    .message("ingressFrom, managementFrom, apiServerRanges and egress need enabled: true"))]
pub struct NetworkPolicySettings {
    /// Whether there is a NetworkPolicy; without one the cluster's own rules hold alone.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Who may call the gateway. Absent means every pod of the cluster, and everyone where the Service is a NodePort or
    /// LoadBalancer. Name the proxy's addresses where an Ingress controller runs on the nodes' own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub ingress_from: Option<Vec<NetworkPolicyPeer>>,

    /// Who may read metrics and status on port 18790, besides the operator. Absent means pods with the label
    /// app.kubernetes.io/name: prometheus, in any namespace. Probes of the kubelet always pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub management_from: Option<Vec<NetworkPolicyPeer>>,

    /// Address ranges of the Kubernetes API server, from which the pods get their configuration, e.g. 10.0.0.1/32.
    /// Absent means any address on ports 443 and 6443. With ranges, every port of them is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 32),
        inner(length(max = 64), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub api_server_ranges: Option<Vec<String>>,

    /// What else the pods may reach: a provider behind a private name, or a proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub egress: Option<Vec<NetworkPolicyEgressRule>>,
}

impl Default for NetworkPolicySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ingress_from: None,
            management_from: None,
            api_server_ranges: None,
            egress: None,
        }
    }
}

const fn yes() -> bool {
    true
}
