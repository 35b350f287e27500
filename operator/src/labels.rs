//! The labels of everything that belongs to a gateway. Nothing else makes labels.

use std::collections::BTreeMap;

use claw_crds::MANAGED_BY;

use crate::names::GatewayName;

/// Selects all children of all gateways; what the operator watches.
pub const CHILDREN: &str = "app.kubernetes.io/managed-by=claw-operator";

/// Selects the pods of all gateways.
pub const PODS: &str = "app.kubernetes.io/name=clawdbot,app.kubernetes.io/component=gateway";
/// Names the gateway.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// Labels of a child.
pub fn of_child(gateway: &GatewayName) -> BTreeMap<String, String> {
    let mut labels = of_pods(gateway);
    let (label, operator) = MANAGED_BY;
    labels.insert(label.into(), operator.into());
    labels.insert("app.kubernetes.io/part-of".into(), "claw".into());
    labels
}

/// Labels that select the pods. A Deployment's selector is immutable, so these never change.
pub fn of_pods(gateway: &GatewayName) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "clawdbot"),
        (INSTANCE, gateway.as_str()),
        ("app.kubernetes.io/component", "gateway"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Whether the operator made what has these labels.
pub fn are_ours(labels: &BTreeMap<String, String>) -> bool {
    let (label, operator) = MANAGED_BY;
    labels.get(label).map(String::as_str) == Some(operator)
}

/// The gateway that an object of ours belongs to, by its labels: for objects that have no owner.
pub fn gateway_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    let is_ours = labels.get("app.kubernetes.io/name").map(String::as_str) == Some("clawdbot");
    let instance = labels.get(INSTANCE)?;
    is_ours.then_some(instance.as_str())
}

/// The pods' selector as text, for the scale subresource.
pub fn pod_selector(gateway: &GatewayName) -> String {
    of_pods(gateway)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_carry_the_label_that_the_operator_watches() {
        let labels = of_child(&GatewayName::parse("desk").expect("valid"));
        let (key, value) = CHILDREN.split_once('=').expect("key=value");
        assert_eq!(labels.get(key).map(String::as_str), Some(value));
    }

    #[test]
    fn all_pods_carry_the_labels_that_the_operator_watches() {
        let labels = of_pods(&GatewayName::parse("desk").expect("valid"));
        for pair in PODS.split(',') {
            let (key, value) = pair.split_once('=').expect("key=value");
            assert_eq!(labels.get(key).map(String::as_str), Some(value));
        }
        assert_eq!(gateway_of(&labels), Some("desk"));
    }

    #[test]
    fn the_selector_matches_the_children_too() {
        let name = GatewayName::parse("desk").expect("valid");
        assert_eq!(
            pod_selector(&name),
            "app.kubernetes.io/component=gateway,app.kubernetes.io/instance=desk,app.kubernetes.io/name=clawdbot"
        );
    }
}
