//! Ways in from outside the cluster.

use claw_crds::{
    ClawGatewaySpec,
    claw_gateway::{HttpRoute, Ingress},
    condition::{RESOLVED_REFS, reason},
};

use crate::{
    claw_gateway::verdict::Fault,
    kinds::{KindSet, OptionalKind},
};

/// Ways in from outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedExposure {
    /// By the Gateway API, where the cluster has it.
    pub http_route: Option<HttpRoute>,
    /// By an Ingress controller.
    pub ingress: Option<Ingress>,
}

pub(super) fn validate(spec: &ClawGatewaySpec, kinds: KindSet) -> ValidatedExposure {
    ValidatedExposure {
        http_route: spec
            .http_route
            .clone()
            .filter(|_| kinds.has(OptionalKind::HttpRoute)),
        ingress: spec.ingress.clone().map(|ingress| Ingress {
            annotations: ingress
                .annotations
                .filter(|annotations| !annotations.is_empty()),
            ..ingress
        }),
    }
}

/// Kinds that the spec asks for by name, and the cluster does not have. The others serve without.
pub(super) fn missing_kinds(spec: &ClawGatewaySpec, kinds: KindSet) -> Vec<Fault> {
    let wanted = [
        (
            spec.http_route.is_some(),
            OptionalKind::HttpRoute,
            "spec.httpRoute: the cluster has no kind HTTPRoute (gateway.networking.k8s.io/v1); install the Gateway \
             API, and the route appears by itself, or remove the field",
        ),
        (
            spec.tls.issuer_ref.is_some(),
            OptionalKind::Certificate,
            "spec.tls.issuerRef: the cluster has no kind Certificate (cert-manager.io/v1); install cert-manager, and \
             the certificate is asked for by itself, or choose another member of tls",
        ),
    ];
    wanted
        .into_iter()
        .filter(|(is_wanted, kind, _)| *is_wanted && !kinds.has(*kind))
        .map(|(_, _, detail)| Fault {
            condition: RESOLVED_REFS,
            reason: reason::KIND_NOT_FOUND,
            detail: detail.to_owned(),
        })
        .collect()
}
