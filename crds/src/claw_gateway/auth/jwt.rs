//! Callers with tokens that an identity provider has signed.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Claims;
use crate::duration::DurationText;

/// An identity provider whose signed tokens (JWT) admit callers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.clockSkew) || duration(self.clockSkew) <= duration('5m')")
    .message("clockSkew must not be longer than 5m"))]
pub struct Jwt {
    /// Callers are known as `jwt:<name>/<their name>` in logs, limits and access lists.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// What the claim `iss` of a token must be, to the letter.
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: String,

    /// Of these, the claim `aud` of a token must name at least one: without it, tokens for other services would do.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 1024)))]
    pub audiences: Vec<String>,

    /// The provider's public keys.
    pub jwks: Jwks,

    /// The signature algorithms that are taken. Absent means every one below that fits the type of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 9))]
    pub algorithms: Option<Vec<JwtAlgorithm>>,

    /// By how much the clocks of gateway and provider may differ; 60s when absent, at most 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew: Option<DurationText>,

    /// What the claims say of a caller, and must say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
}

/// A JSON Web Key Set: exactly one of url and inline.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.url) != has(self.inline)")
    .message("set exactly one of url and inline"))]
pub struct Jwks {
    /// Where the provider publishes it. By https; http only on the machine itself. A private address needs
    /// spec.outbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: Option<String>,

    /// The set itself, as JSON, for providers that nobody can ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16384))]
    pub inline: Option<String>,
}

/// How a token may be signed. Never by a shared secret, and never not at all.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum JwtAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RS512,
    /// RSA PSS with SHA-256.
    PS256,
    /// RSA PSS with SHA-384.
    PS384,
    /// RSA PSS with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}
