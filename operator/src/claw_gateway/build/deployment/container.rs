//! The gateway's container.

use std::collections::BTreeMap;

use claw_crds::{GATEWAY_PORT, MANAGEMENT_PORT};
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, EnvVar, EnvVarSource, Lifecycle, LifecycleHandler,
        ObjectFieldSelector, ResourceFieldSelector, ResourceRequirements, SleepAction,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{DRAIN_SECONDS, LINGER_SECONDS, USERS_PORT_NAME, probes, security, volumes};
use crate::claw_gateway::validate::{
    ValidatedDevices, ValidatedGateway, ValidatedPod, ValidatedTracing,
};

pub(super) fn build(gateway: &ValidatedGateway) -> Container {
    Container {
        name: "gateway".into(),
        image: Some(gateway.pod.image.clone()),
        args: Some(args(gateway)),
        env: Some(environment(gateway)),
        ports: Some(vec![
            port(USERS_PORT_NAME, GATEWAY_PORT),
            port(probes::PORT_NAME, MANAGEMENT_PORT),
        ]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: LINGER_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // A container that fails says why in its last log lines, which then stand in the gateway's status.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        startup_probe: Some(probes::startup()),
        liveness_probe: Some(probes::liveness()),
        readiness_probe: Some(probes::readiness()),
        resources: Some(resources(&gateway.pod)),
        security_context: Some(security::of_container()),
        volume_mounts: Some(volumes::mounts(gateway)),
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

fn environment(gateway: &ValidatedGateway) -> Vec<EnvVar> {
    let namespace = EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            field_path: "metadata.namespace".into(),
            ..ObjectFieldSelector::default()
        }),
        ..EnvVarSource::default()
    };
    let mut variables = vec![
        EnvVar {
            name: "POD_NAMESPACE".into(),
            value_from: Some(namespace),
            ..EnvVar::default()
        },
        variable("CLAWDBOT_STATE_DIR", volumes::STATE_DIR),
        EnvVar {
            name: "CLAWDBOT_CPU_CAPACITY".into(),
            value_from: Some(cpu_request()),
            ..EnvVar::default()
        },
    ];
    let observability = &gateway.observability;
    variables.push(variable("CLAWDBOT_LOG_FORMAT", observability.log_format));
    variables.extend(
        observability
            .tracing
            .iter()
            .flat_map(|to| tracing(gateway, to)),
    );
    variables.extend(nvidia(&gateway.pod.devices));
    variables
}

/// As every OpenTelemetry SDK reads them
/// (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
fn tracing(gateway: &ValidatedGateway, to: &ValidatedTracing) -> Vec<EnvVar> {
    let whose = format!(
        "k8s.namespace.name={},k8s.deployment.name={}",
        gateway.namespace,
        gateway.name.deployment()
    );
    let mut variables = vec![
        variable("OTEL_EXPORTER_OTLP_ENDPOINT", &to.endpoint),
        variable("OTEL_RESOURCE_ATTRIBUTES", &whose),
    ];
    if let Some(percent) = to.sampling_percent {
        let ratio = format!("0.{percent:02}");
        variables.push(variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"));
        variables.push(variable("OTEL_TRACES_SAMPLER_ARG", &ratio));
    }
    variables
}

/// In thousandths. Without a limit, nothing else in the container tells how much CPU is meant for it.
fn cpu_request() -> EnvVarSource {
    EnvVarSource {
        resource_field_ref: Some(ResourceFieldSelector {
            resource: "requests.cpu".into(),
            divisor: Some(Quantity("1m".into())),
            ..ResourceFieldSelector::default()
        }),
        ..EnvVarSource::default()
    }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    }
}

/// What NVIDIA's container runtime reads. Which GPUs a pod sees is said by the device plugin alone: a value of ours
/// would stand above it, and show GPUs that belong to others.
fn nvidia(devices: &ValidatedDevices) -> Option<EnvVar> {
    match devices {
        ValidatedDevices::Gpu(_) => Some(variable("NVIDIA_DRIVER_CAPABILITIES", "compute,utility")),
        // On a node whose runtime hands out GPUs unasked.
        ValidatedDevices::Cpu => Some(variable("NVIDIA_VISIBLE_DEVICES", "void")),
        ValidatedDevices::WhateverIsThere => None,
    }
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
        .devices
        .gpu()
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
