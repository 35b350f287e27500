//! Step 3, pure: every child of a validated gateway. Nothing here can fail.

pub mod autoscaler;
pub mod certificate;
pub mod dashboard;
pub mod deployment;
pub mod disruption_budget;
pub mod http_route;
pub mod ingress;
pub mod network_policy;
pub mod pod_monitor;
pub mod prometheus_rule;
pub mod rbac;
pub mod secrets;
pub mod service;
pub mod service_account;
pub mod volume_claim;

use std::{collections::BTreeMap, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    resources::{Prepared, Resources},
    validate::{Owner, ValidatedGateway},
};
use crate::labels;

/// Build every child.
pub fn build(gateway: &ValidatedGateway) -> Resources<Prepared> {
    Resources {
        service_account: service_account::build(gateway),
        role: rbac::build_role(gateway),
        role_binding: rbac::build_role_binding(gateway),
        ca: secrets::build_ca(gateway),
        tls: secrets::build_tls(gateway),
        config: secrets::build_config(gateway),
        service: service::build(gateway),
        network_policy: network_policy::build(gateway),
        volume_claim: volume_claim::build(gateway),
        deployment: deployment::build(gateway),
        autoscaler: autoscaler::build(gateway),
        disruption_budget: disruption_budget::build(gateway),
        http_route: http_route::build(gateway),
        ingress: ingress::build(gateway),
        pod_monitor: pod_monitor::build(gateway),
        prometheus_rule: prometheus_rule::build(gateway),
        dashboard: dashboard::build(gateway),
        stage: PhantomData,
    }
}

/// The metadata of a child.
fn object_meta(gateway: &ValidatedGateway, name: String) -> ObjectMeta {
    meta_of(&gateway.belongs_to(), name)
}

/// The metadata of what belongs to `owner`.
fn meta_of(owner: &Owner, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(owner.namespace.clone()),
        labels: Some(labels::of_child(&owner.name)),
        owner_references: Some(vec![owner.reference.clone()]),
        ..ObjectMeta::default()
    }
}

/// The same with labels of the user's; ours stay as they are.
fn with_labels(mut metadata: ObjectMeta, more: &BTreeMap<String, String>) -> ObjectMeta {
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in more {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    metadata
}

#[cfg(test)]
mod tests;
