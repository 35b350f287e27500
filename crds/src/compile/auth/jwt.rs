//! Callers with tokens of an identity provider. What is wrong with one leaves it out: its tokens admit nobody.

use serde::Deserialize;

use super::{claims, issuer_url};
use crate::{
    claw_gateway::Jwt,
    compile::{
        Found,
        problem::{ObjectRef, Problem, ProblemReason},
    },
    duration::DurationText,
    gateway_config::{JwksConfig, JwtConfig},
};

/// Seconds by which clocks may differ when nothing is said.
const DEFAULT_SKEW: u32 = 60;

pub(super) fn compile(
    gateway: &ObjectRef,
    issuers: &[Jwt],
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<JwtConfig> {
    let mut configs: Vec<JwtConfig> = Vec::new();
    for (index, jwt) in issuers.iter().enumerate() {
        let field = format!("spec.auth.jwt[{index}]");
        let is_known = |known: &JwtConfig| known.name == jwt.name || known.issuer == jwt.issuer;
        if configs.iter().any(is_known) {
            let message = "another entry has that name or issuer";
            let problem = Problem::invalid(gateway, field, message, "merge or remove one of them");
            let problem = problem.with_value(&jwt.name);
            problems.push(problem.with_reason(ProblemReason::Conflict));
            continue;
        }
        match compile_one(gateway, &field, jwt, found) {
            Ok(config) => configs.push(config),
            Err(problem) => problems.push(problem),
        }
    }
    configs
}

fn compile_one(
    gateway: &ObjectRef,
    field: &str,
    jwt: &Jwt,
    found: Found<'_>,
) -> Result<JwtConfig, Problem> {
    let jwks = match (&jwt.jwks.url, &jwt.jwks.inline) {
        (Some(url), None) => {
            let field = format!("{field}.jwks.url");
            JwksConfig::Url(issuer_url::check(gateway, &field, url, found)?)
        }
        (None, Some(jwks)) => JwksConfig::Inline(inline(gateway, field, jwks)?),
        (None, None) | (Some(_), Some(_)) => {
            let field = format!("{field}.jwks");
            let message = "it must be clear where the keys come from";
            let remedy = "set exactly one of url and inline";
            return Err(Problem::invalid(gateway, field, message, remedy));
        }
    };
    Ok(JwtConfig {
        name: jwt.name.clone(),
        issuer: jwt.issuer.clone(),
        audiences: jwt.audiences.iter().cloned().collect(),
        jwks,
        algorithms: jwt.algorithms.iter().flatten().copied().collect(),
        clock_skew_seconds: seconds(jwt.clock_skew.as_ref()).unwrap_or(DEFAULT_SKEW),
        claims: claims::compile(gateway, field, jwt.claims.as_ref())?,
    })
}

/// The schema admits nothing that is lost here but parts of a second.
pub(super) fn seconds(duration: Option<&DurationText>) -> Option<u32> {
    u32::try_from(duration?.value()?.as_secs()).ok()
}

fn inline(gateway: &ObjectRef, field: &str, jwks: &str) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<serde_json::Map<String, serde_json::Value>>,
    }
    let field = format!("{field}.jwks.inline");
    let remedy = r#"give the JSON of the provider's key set: {"keys": [{"kty": …}]}"#;
    let parsed: KeySet = serde_json::from_str(jwks).map_err(|error| {
        let message = format!("it is not a JSON Web Key Set: {error}");
        Problem::invalid(gateway, &field, message, remedy)
    })?;
    // Private members have no place here; whoever pasted them should hear of it.
    let is_secret = |key: &serde_json::Map<String, serde_json::Value>| {
        key.contains_key("d") || key.contains_key("k")
    };
    if parsed.keys.iter().any(is_secret) {
        let message = "it holds a private or symmetric key";
        let remedy = "give the public keys only, and consider that key as leaked";
        return Err(Problem::invalid(gateway, field, message, remedy));
    }
    if parsed.keys.is_empty() {
        return Err(Problem::invalid(gateway, field, "it has no key", remedy));
    }
    Ok(jwks.to_owned())
}
