//! The gateway's container.

use std::collections::BTreeMap;

use claw_crds::{GATEWAY_PORT, MANAGEMENT_PORT};
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{DRAIN_SECONDS, USERS_PORT_NAME, probes, security, volumes};
use crate::claw_gateway::validate::{ValidatedGateway, ValidatedPod};

pub(super) fn build(gateway: &ValidatedGateway) -> Container {
    Container {
        name: "gateway".into(),
        image: Some(gateway.pod.image.clone()),
        args: Some(args(gateway)),
        env: Some(environment()),
        ports: Some(vec![
            port(USERS_PORT_NAME, GATEWAY_PORT),
            port(probes::PORT_NAME, MANAGEMENT_PORT),
        ]),
        startup_probe: Some(probes::startup()),
        liveness_probe: Some(probes::liveness()),
        readiness_probe: Some(probes::readiness()),
        resources: Some(resources(&gateway.pod)),
        security_context: Some(security::of_container()),
        volume_mounts: Some(volumes::mounts()),
        ..Container::default()
    }
}

fn args(gateway: &ValidatedGateway) -> Vec<String> {
    [
        "gateway".to_owned(),
        "--config-secret".to_owned(),
        gateway.name.config_secret(),
        "--port".to_owned(),
        GATEWAY_PORT.to_string(),
        "--management-port".to_owned(),
        MANAGEMENT_PORT.to_string(),
        "--shutdown-grace".to_owned(),
        format!("{DRAIN_SECONDS}s"),
    ]
    .into()
}

fn environment() -> Vec<EnvVar> {
    let namespace = EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            field_path: "metadata.namespace".into(),
            ..ObjectFieldSelector::default()
        }),
        ..EnvVarSource::default()
    };
    vec![
        EnvVar {
            name: "POD_NAMESPACE".into(),
            value_from: Some(namespace),
            ..EnvVar::default()
        },
        EnvVar {
            name: "CLAWDBOT_STATE_DIR".into(),
            value: Some(volumes::STATE_DIR.into()),
            ..EnvVar::default()
        },
    ]
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        // Part of the port's key, so it has to be said.
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

/// No CPU limit: throttling slows every stream, while the request already guards the neighbours.
fn resources(pod: &ValidatedPod) -> ResourceRequirements {
    let gpu = pod
        .gpu
        .as_ref()
        .map(|gpu| (gpu.resource.clone(), Quantity(gpu.count.to_string())));
    let memory = ("memory".to_owned(), Quantity(pod.memory.clone()));
    let cpu = ("cpu".to_owned(), Quantity(pod.cpu.clone()));
    let limits: BTreeMap<String, Quantity> = [Some(memory.clone()), gpu.clone()]
        .into_iter()
        .flatten()
        .collect();
    let requests = [Some(cpu), Some(memory), gpu]
        .into_iter()
        .flatten()
        .collect();
    ResourceRequirements {
        limits: Some(limits),
        requests: Some(requests),
        ..ResourceRequirements::default()
    }
}
