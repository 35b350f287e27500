//! Tokens that their issuer is asked about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{super::Redacted, ClaimsConfig};

/// Who is asked about tokens, and what the answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IntrospectionConfig {
    /// The endpoint.
    pub url: String,
    /// As whom the gateway asks.
    pub client_id: String,
    /// With this secret.
    pub client_secret: Redacted,
    /// What `iss` must be; absent means that it does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of which `aud` must name one; empty means that it does not matter.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audiences: BTreeSet<String>,
    /// How long an answer is believed.
    pub cache_seconds: u32,
    /// What the claims say, and must say.
    #[serde(default, skip_serializing_if = "ClaimsConfig::is_default")]
    pub claims: ClaimsConfig,
}
