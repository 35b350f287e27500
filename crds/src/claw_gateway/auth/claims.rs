//! What the claims of tokens say of callers.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the claims of a token say of its caller, and what they must say. A claim is given by its name, or by a JSON
/// pointer to one within others, e.g. /realm_access/roles.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The claim with the caller's name, which logs, limits and access lists use. When absent, sub; of introspected
    /// tokens without it, client_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,

    /// The claim with the models that a caller may use, as a list or with spaces between them. A token without it may
    /// use none. Absent means that every caller may use every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub models: Option<String>,

    /// The claim with the request paths that a caller may use, as a list or with spaces between them; `*` at the end of
    /// one stands for anything. A token without it may use none. Absent means every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub paths: Option<String>,

    /// What else must be true of a token; all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub required: Option<Vec<RequiredClaim>>,
}

/// What must be true of one claim: exactly one of equals, oneOf and contains. Numbers and booleans are compared as they
/// are written in JSON.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.equals), has(self.oneOf), has(self.contains)].filter(x, x).size() == 1")
    .message("set exactly one of equals, oneOf and contains"))]
pub struct RequiredClaim {
    /// The claim.
    #[schemars(length(min = 1, max = 256))]
    pub claim: String,

    /// It is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub equals: Option<String>,

    /// It is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 1024)))]
    pub one_of: Option<Vec<String>>,

    /// It is a list that has this, or a text with spaces between its parts (as scope is) one of which is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub contains: Option<String>,
}
