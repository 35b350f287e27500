//! Several pods go to several nodes, where there are some.

use k8s_openapi::{
    api::core::v1::TopologySpreadConstraint, apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use crate::{claw_gateway::validate::ValidatedGateway, labels};

pub(super) fn spread(gateway: &ValidatedGateway) -> Option<Vec<TopologySpreadConstraint>> {
    if gateway.scaling.most() <= 1 {
        return None;
    }
    Some(vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(LabelSelector {
            match_labels: Some(labels::of_pods(&gateway.name)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }])
}
