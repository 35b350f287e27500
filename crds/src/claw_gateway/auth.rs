//! Who may call the gateway.

mod claims;
mod client_certificates;
mod introspection;
mod jwt;

pub use claims::{Claims, RequiredClaim};
pub use client_certificates::{ClientCertificateMode, ClientCertificates, OutdatedRevocationLists};
pub use introspection::Introspection;
pub use jwt::{Jwks, Jwt, JwtAlgorithm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may call the gateway: anonymous alone, or any of the others. A credential in the headers is looked up among the
/// API keys, then held against jwt if it has the shape of a JSON Web Token, then against introspection; a request without
/// one is known by its client certificate.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.anonymous) != (has(self.apiKeys) || has(self.jwt) || has(self.introspection) || has(self.clientCertificates))")
    .message("set anonymous alone, or at least one of apiKeys, jwt, introspection and clientCertificates"))]
pub struct Auth {
    /// Callers present an API key as a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeysAuth>,

    /// Callers present a token that one of these identity providers has signed, as a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub jwt: Option<Vec<Jwt>>,

    /// Callers present a token that an OAuth 2 server is asked about, as a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<Introspection>,

    /// Callers present a certificate in the TLS handshake. Needs TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,

    /// Everyone who reaches the Service may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<AnonymousAuth>,
}

/// API keys from Secrets.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.selector.matchLabels) || has(self.selector.matchExpressions)")
    .message("selector must not be empty: it would take every Secret of the namespace for API keys"))]
pub struct ApiKeysAuth {
    /// Secrets of this namespace whose labels match hold the keys: every entry of their data is one key, known
    /// in logs as `<secret>/<entry>`. Removing an entry revokes the key. Annotations of a Secret restrict the keys in
    /// it: keys.claw.dev/owner, expires (RFC 3339), allowed-models, allowed-paths and allowed-cidrs, lists with commas;
    /// requests-per-minute, tokens-per-minute, tokens-per-day and tokens-per-month, which need spec.state, and
    /// concurrent-streams, for each key. One that cannot be followed refuses the keys of its Secret.
    pub selector: LabelSelector,
}

/// Everyone may call.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnonymousAuth {}
