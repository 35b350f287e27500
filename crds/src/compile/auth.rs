//! Callers: API keys selected from Secrets and hashed, and the other ways to be known.

mod attributes;
mod claims;
mod client_certificates;
mod identities;
mod introspection;
mod issuer_url;
mod jwt;
mod revocation_lists;
mod shared_state;

pub use client_certificates::{InvalidAuthorities, client_roots};
pub(super) use identities::identities;
pub use revocation_lists::{InvalidRevocationList, revocation_lists};

use sha2::{Digest, Sha256};

use super::{
    problem::{ObjectRef, Problem, ProblemReason},
    secrets::Secrets,
};
use crate::{
    ClawGatewaySpec,
    gateway_config::{ApiKeyConfig, AuthConfig, GrantConfig},
};
use attributes::InvalidAttribute;

/// The field that says which Secrets hold API keys.
pub(super) const SELECTOR: &str = "spec.auth.apiKeys.selector";
/// Shorter keys can be guessed: 16 characters of base64 are 96 bits.
const MIN_KEY_LENGTH: usize = 16;

pub(super) fn compile(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Option<AuthConfig> {
    let auth = &spec.auth;
    let fatal = |field: &str, message: String, remedy: &str| {
        Problem::invalid(gateway, field, message, remedy).fatal()
    };
    let has_others =
        auth.jwt.is_some() || auth.introspection.is_some() || auth.client_certificates.is_some();
    let selector = match (&auth.api_keys, has_others, &auth.anonymous) {
        (None, false, Some(_)) => return Some(AuthConfig::Anonymous {}),
        (None, true, None) => return Some(AuthConfig::ApiKeys(Vec::new())),
        (Some(api_keys), _, None) => &api_keys.selector,
        (None, false, None) | (Some(_), _, Some(_)) | (None, true, Some(_)) => {
            let message = "it must be clear who may call".to_owned();
            problems.push(fatal(
                "spec.auth",
                message,
                "set anonymous alone, or at least one of apiKeys, jwt, introspection and clientCertificates",
            ));
            return None;
        }
    };
    if selector
        .match_labels
        .as_ref()
        .is_none_or(std::collections::BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
    {
        let message =
            "an empty selector would take every Secret of the namespace for API keys".to_owned();
        problems.push(fatal(SELECTOR, message, "set matchLabels"));
        return None;
    }
    let selected = match secrets.select(selector) {
        Ok(selected) => selected,
        Err(message) => {
            problems.push(fatal(
                SELECTOR,
                message,
                "use In, NotIn, Exists or DoesNotExist",
            ));
            return None;
        }
    };
    if secrets.is_cut() {
        let message =
            "it selects more Secrets than are read for one gateway, and those beyond are left out";
        let remedy = "label only the Secrets that hold API keys, and keep nothing else in them";
        problems.push(Problem::invalid(gateway, SELECTOR, message, remedy));
    }
    let mut keys = Vec::new();
    for (secret, content) in selected {
        let grant = match attributes::parse(&content.annotations) {
            Ok(grant) if grant.limits.needs_state() && !shared_state::is_there(spec) => {
                problems.push(shared_state::missing(gateway, secret));
                continue;
            }
            Ok(grant) => grant,
            Err(invalid) => {
                problems.push(refused(gateway, secret, &invalid));
                continue;
            }
        };
        for (entry, value) in &content.data {
            match hash(gateway, secret, entry, value, &grant) {
                Ok(key) => keys.push(key),
                Err(problem) => problems.push(problem),
            }
        }
    }
    Some(AuthConfig::ApiKeys(keys))
}

fn hash(
    gateway: &ObjectRef,
    secret: &str,
    entry: &str,
    value: &[u8],
    grant: &GrantConfig,
) -> Result<ApiKeyConfig, Problem> {
    let key = value.trim_ascii();
    if key.len() < MIN_KEY_LENGTH || !key.iter().all(u8::is_ascii_graphic) {
        let problem = Problem::invalid(
            gateway,
            SELECTOR,
            format!(
                "the API key is shorter than {MIN_KEY_LENGTH} characters or holds more than visible ASCII"
            ),
            "replace it, for example with the output of: openssl rand -hex 24",
        );
        let problem = problem.with_value(format!("{secret}/{entry}"));
        return Err(problem.with_reason(ProblemReason::InvalidSecret));
    }
    let sha256 = hex::encode(Sha256::digest(key));
    Ok(ApiKeyConfig {
        name: format!("{secret}/{entry}"),
        sha256,
        grant: grant.clone(),
    })
}

/// The keys of a Secret that says something of them which cannot be followed.
fn refused(gateway: &ObjectRef, secret: &str, invalid: &InvalidAttribute) -> Problem {
    let InvalidAttribute {
        annotation,
        value,
        message,
        remedy,
    } = invalid;
    let message = format!(
        "the keys of Secret {secret} admit nobody, since its annotation {annotation}: {value:?} cannot be followed: \
         {message}"
    );
    let problem = Problem::invalid(gateway, SELECTOR, message, *remedy);
    problem
        .with_value(secret)
        .with_reason(ProblemReason::InvalidSecret)
}

#[cfg(test)]
mod tests;
