//! Who may call the gateway.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may call the gateway: exactly one of apiKeys and anonymous.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.apiKeys) != has(self.anonymous)")
    .message("set exactly one of apiKeys and anonymous"))]
pub struct Auth {
    /// Callers present an API key as a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeysAuth>,

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
    /// it: keys.claw.dev/owner, expires (RFC 3339), allowed-models, allowed-paths and allowed-cidrs, lists with commas.
    /// One that cannot be followed refuses the keys of its Secret.
    pub selector: LabelSelector,
}

/// Everyone may call.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnonymousAuth {}
