//! Callers that are known by something else than an API key.

use super::{client_certificates, introspection, jwt};
use crate::{
    ClawGatewaySpec,
    claw_gateway::ClientCertificateMode,
    compile::{
        Found,
        problem::{ObjectRef, Problem},
    },
    gateway_config::IdentitiesConfig,
};

/// What is wrong with a way to be known closes that way. Only where certificates are required, nothing is served
/// without them.
pub(in crate::compile) fn identities(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> IdentitiesConfig {
    let auth = &spec.auth;
    let issuers = auth.jwt.as_deref().unwrap_or_default();
    let jwt = jwt::compile(gateway, issuers, found, problems);
    let introspection = auth.introspection.as_ref().and_then(|introspection| {
        introspection::compile(gateway, introspection, found)
            .map_err(|problem| problems.push(problem))
            .ok()
    });
    let client_certificates = auth.client_certificates.as_ref().and_then(|certificates| {
        client_certificates::compile(gateway, certificates, &spec.tls, found)
            .map_err(|problem| {
                problems.push(match certificates.mode {
                    ClientCertificateMode::Optional => problem,
                    ClientCertificateMode::Required => problem.fatal(),
                });
            })
            .ok()
    });
    IdentitiesConfig {
        jwt,
        introspection,
        client_certificates,
    }
}
