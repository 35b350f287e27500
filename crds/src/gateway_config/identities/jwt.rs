//! Tokens that identity providers sign.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ClaimsConfig;
use crate::claw_gateway::JwtAlgorithm;

/// Whose tokens are taken, and which of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JwtConfig {
    /// Callers are known as `jwt:<name>/<their name>`.
    pub name: String,
    /// What `iss` must be.
    pub issuer: String,
    /// Of which `aud` must name one.
    pub audiences: BTreeSet<String>,
    /// The issuer's keys.
    pub jwks: JwksConfig,
    /// The algorithms that are taken; empty means all that fit the keys.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub algorithms: BTreeSet<JwtAlgorithm>,
    /// By how much clocks may differ.
    pub clock_skew_seconds: u32,
    /// What the claims say, and must say.
    #[serde(default, skip_serializing_if = "ClaimsConfig::is_default")]
    pub claims: ClaimsConfig,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum JwksConfig {
    /// A URL, asked again and again.
    Url(String),
    /// The JSON Web Key Set itself.
    Inline(String),
}
