//! Step 3, pure: every child of a validated gateway. Nothing here can fail.

pub mod autoscaler;
pub mod deployment;
pub mod disruption_budget;
pub mod network_policy;
pub mod rbac;
pub mod secrets;
pub mod service;
pub mod service_account;
pub mod volume_claim;

use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    resources::{Prepared, Resources},
    validate::ValidatedGateway,
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
        stage: PhantomData,
    }
}

/// The metadata of a child.
fn object_meta(gateway: &ValidatedGateway, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(gateway.namespace.clone()),
        labels: Some(labels::of_child(&gateway.name)),
        owner_references: Some(vec![gateway.owner.clone()]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
