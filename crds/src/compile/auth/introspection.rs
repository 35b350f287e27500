//! Callers with tokens that an OAuth 2 server is asked about.

use super::{claims, issuer_url, jwt::seconds};
use crate::{
    claw_gateway::Introspection,
    compile::{
        Found,
        problem::{ObjectRef, Problem},
    },
    gateway_config::{IntrospectionConfig, Redacted},
};

const FIELD: &str = "spec.auth.introspection";
/// Seconds for which an answer is believed when nothing is said.
const DEFAULT_CACHE: u32 = 60;

pub(super) fn compile(
    gateway: &ObjectRef,
    introspection: &Introspection,
    found: Found<'_>,
) -> Result<IntrospectionConfig, Problem> {
    let Introspection {
        url,
        client_id,
        client_secret,
        issuer,
        audiences,
        cache_ttl,
        claims,
    } = introspection;
    let url = issuer_url::check(gateway, &format!("{FIELD}.url"), url, found)?;
    let secret = found.secrets.text(
        gateway,
        &format!("{FIELD}.clientSecret"),
        &client_secret.secret_key_ref,
    )?;
    Ok(IntrospectionConfig {
        url,
        client_id: client_id.clone(),
        client_secret: Redacted::new(secret),
        issuer: issuer.clone(),
        audiences: audiences.iter().flatten().cloned().collect(),
        cache_seconds: seconds(cache_ttl.as_ref()).unwrap_or(DEFAULT_CACHE),
        claims: claims::compile(gateway, FIELD, claims.as_ref())?,
    })
}
