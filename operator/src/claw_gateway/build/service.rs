//! The way in.

use claw_crds::GATEWAY_PORT;
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{deployment::USERS_PORT_NAME, object_meta};
use crate::{claw_gateway::validate::ValidatedGateway, labels};

pub(super) fn build(gateway: &ValidatedGateway) -> Service {
    let service = &gateway.service;
    let mut metadata = object_meta(gateway, gateway.name.service());
    metadata.annotations.clone_from(&service.annotations);
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(service.service_type.to_owned()),
            selector: Some(labels::of_pods(&gateway.name)),
            // The management port stays within the pod network.
            ports: Some(vec![ServicePort {
                name: Some(service.protocol.to_owned()),
                app_protocol: Some(service.protocol.to_owned()),
                // Part of the port's key, so it has to be said.
                protocol: Some("TCP".into()),
                port: i32::from(GATEWAY_PORT),
                target_port: Some(IntOrString::String(USERS_PORT_NAME.into())),
                ..ServicePort::default()
            }]),
            load_balancer_source_ranges: service.source_ranges.clone(),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
