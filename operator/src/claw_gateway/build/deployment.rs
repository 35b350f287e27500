//! The pods. Nothing of routes, channels or Secrets stands in the template: those are taken over by the running
//! gateway, and must not restart it.

mod container;
mod placement;
mod probes;
mod security;
mod volumes;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{LocalObjectReference, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::object_meta;
use crate::{claw_gateway::validate::ValidatedGateway, labels};

pub(super) use probes::PORT_NAME as MANAGEMENT_PORT_NAME;
/// The name of the users' port, which the Service targets.
pub(super) const USERS_PORT_NAME: &str = "users";
/// How long a pod still takes requests after it was taken out of the Service, since not every node and proxy hears of
/// that at once.
const LINGER_SECONDS: i64 = 5;
/// What the gateway has for finishing its streams: a long answer takes minutes.
const DRAIN_SECONDS: i64 = 300;
/// What the kubelet gives a pod to stop; the rest is for closing up.
const TERMINATION_GRACE_SECONDS: i64 = LINGER_SECONDS + DRAIN_SECONDS + 15;
/// A rollout that makes no headway for longer than a pod may take to start is stuck. What keeps pods from starting
/// sooner is told by the pods.
const PROGRESS_DEADLINE_SECONDS: i32 = probes::LONGEST_START_SECONDS + 120;

pub(super) fn build(gateway: &ValidatedGateway) -> Deployment {
    Deployment {
        metadata: object_meta(gateway, gateway.name.deployment()),
        spec: Some(DeploymentSpec {
            replicas: gateway.scaling.replicas(),
            selector: LabelSelector {
                match_labels: Some(labels::of_pods(&gateway.name)),
                ..LabelSelector::default()
            },
            strategy: Some(if gateway.pod.storage.is_shared() {
                rolling()
            } else {
                recreating()
            }),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            template: template(gateway),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// A new pod serves before an old one goes.
fn rolling() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(1)),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

/// No two pods may use the volume, so the old one goes before the new one comes.
fn recreating() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("Recreate".into()),
        rolling_update: None,
    }
}

fn template(gateway: &ValidatedGateway) -> PodTemplateSpec {
    let gpu = gateway.pod.devices.gpu();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels::of_pods(&gateway.name)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(gateway.name.service_account()),
            image_pull_secrets: pull_secrets(gateway),
            containers: vec![container::build(gateway)],
            volumes: Some(volumes::build(gateway)),
            security_context: Some(security::of_pod()),
            termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
            // A Service named clawdbot would set CLAWDBOT_PORT, which the gateway reads as its own setting.
            enable_service_links: Some(false),
            topology_spread_constraints: placement::spread(gateway),
            node_selector: gpu.and_then(|gpu| gpu.node_selector.clone()),
            tolerations: gpu.map(|gpu| gpu.tolerations.clone()),
            runtime_class_name: gpu.and_then(|gpu| gpu.runtime_class.clone()),
            ..PodSpec::default()
        }),
    }
}

fn pull_secrets(gateway: &ValidatedGateway) -> Option<Vec<LocalObjectReference>> {
    let names = gateway.pod.pull_secrets.iter().cloned();
    let secrets: Vec<_> = names.map(|name| LocalObjectReference { name }).collect();
    (!secrets.is_empty()).then_some(secrets)
}
