//! Nodes are drained one pod at a time, where there can be several.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::object_meta;
use crate::{claw_gateway::validate::ValidatedGateway, labels};

pub(super) fn build(gateway: &ValidatedGateway) -> Option<PodDisruptionBudget> {
    if gateway.scaling.most() <= 1 {
        return None;
    }
    Some(PodDisruptionBudget {
        metadata: object_meta(gateway, gateway.name.disruption_budget()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(labels::of_pods(&gateway.name)),
                ..LabelSelector::default()
            }),
            // A pod that never got ready must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
