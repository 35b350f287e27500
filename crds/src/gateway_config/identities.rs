//! Who is known by something else than an API key.

mod claims;
mod client_certificates;
mod introspection;
mod jwt;

pub use claims::{ClaimRule, ClaimTest, ClaimsConfig};
pub use client_certificates::ClientCertificatesConfig;
pub use introspection::IntrospectionConfig;
pub use jwt::{JwksConfig, JwtConfig};
use serde::{Deserialize, Serialize};

/// What admits callers besides API keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IdentitiesConfig {
    /// Issuers of signed tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<JwtConfig>,
    /// Who is asked about other tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionConfig>,
    /// Whose certificates are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificatesConfig>,
}

impl IdentitiesConfig {
    /// Whether nothing but API keys admits anybody.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
