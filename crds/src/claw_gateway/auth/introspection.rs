//! Callers with tokens that only their issuer can read.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Claims;
use crate::{duration::DurationText, secret_ref::SecretValue};

/// An OAuth 2 server that is asked about tokens (RFC 7662). While it is away, tokens whose answer is not remembered get
/// 503.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.cacheTTL) || duration(self.cacheTTL) <= duration('1h')")
    .message("cacheTTL must not be longer than 1h"))]
pub struct Introspection {
    /// The server's introspection endpoint. By https; http only on the machine itself. A private address needs
    /// spec.outbound.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,

    /// As whom the gateway asks.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 1024))]
    pub client_id: String,

    /// The secret of that client.
    pub client_secret: SecretValue,

    /// What the server must say as `iss`, if anything is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,

    /// Of these, the server must name at least one as `aud`. Absent means that every active token of the server will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 1024)))]
    pub audiences: Option<Vec<String>>,

    /// How long an answer is believed, and so how long a withdrawn token may still be good; 60s when absent, at most 1h.
    /// No token outlives its own expiry.
    #[serde(rename = "cacheTTL", default, skip_serializing_if = "Option::is_none")]
    pub cache_ttl: Option<DurationText>,

    /// What the answer says of a caller, and must say. Callers are known as `oauth:<their name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
}
