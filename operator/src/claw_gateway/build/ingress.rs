//! A way in by an Ingress controller.

use claw_crds::{GATEWAY_PORT, claw_gateway};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::object_meta;
use crate::claw_gateway::validate::ValidatedGateway;

pub(super) fn build(gateway: &ValidatedGateway) -> Option<Ingress> {
    let claw_gateway::Ingress {
        host,
        class_name,
        annotations,
        tls_secret_name,
    } = gateway.exposure.ingress.clone()?;
    let mut metadata = object_meta(gateway, gateway.name.ingress());
    metadata.annotations = annotations;
    let tls = tls_secret_name.map(|secret_name| IngressTLS {
        hosts: Some(vec![host.clone()]),
        secret_name: Some(secret_name),
    });
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: class_name,
            rules: Some(vec![IngressRule {
                host: Some(host),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![everything(gateway)],
                }),
            }]),
            tls: tls.map(|tls| vec![tls]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    })
}

/// Paths are told apart by the gateway's routes.
fn everything(gateway: &ValidatedGateway) -> HTTPIngressPath {
    HTTPIngressPath {
        path: Some("/".into()),
        path_type: "Prefix".into(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: gateway.name.service(),
                port: Some(ServiceBackendPort {
                    number: Some(i32::from(GATEWAY_PORT)),
                    ..ServiceBackendPort::default()
                }),
            }),
            ..IngressBackend::default()
        },
    }
}
