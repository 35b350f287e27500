//! One rule: which requests it takes, and who answers them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Backend, HeaderMatch, Retries, Timeouts};

/// One rule. It takes the requests that pattern, alias and headers all match, and sends them to model or to one of
/// backends; those named by fallback or fallbacks answer when that fails.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.pattern) || has(self.alias)")
    .message("set pattern, alias or both"))]
#[x_kube(validation = Rule::new("has(self.model) != has(self.backends)")
    .message("set exactly one of model and backends"))]
#[x_kube(validation = Rule::new("!has(self.fallback) || !has(self.fallbacks)")
    .message("set fallback or fallbacks, not both"))]
#[x_kube(validation = Rule::new("!has(self.fallback) || !has(self.model) || self.fallback != self.model")
    .message("fallback must be another model than model"))]
#[x_kube(validation = Rule::new("!has(self.fallbacks) || !has(self.model) || !(self.model in self.fallbacks)")
    .message("fallbacks must be other models than model"))]
#[x_kube(validation = Rule::new("!has(self.fallbacks) || self.fallbacks.all(name, self.fallbacks.exists_one(other, other == name))")
    .message("fallbacks must not name a model twice"))]
#[x_kube(validation = Rule::new("!has(self.backends) || self.backends.all(one, self.backends.exists_one(other, other.model == one.model))")
    .message("backends must not name a model twice"))]
#[x_kube(validation = Rule::new("!has(self.backends) || self.backends.exists(one, !has(one.weight) || one.weight > 0)")
    .message("at least one of backends needs a weight above 0"))]
pub struct Route {
    /// A regular expression, searched in the request path; begin it with ^ to match from the start. RE2 syntax,
    /// always linear in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,

    /// The name that a client asks for as `model`. It may be a name of your own, or that of a model of the gateway,
    /// which the rule then stands before. Without pattern, the rule holds for the paths of the API (`/v1/…`) and for
    /// those that patterns of other rules open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$")
    )]
    pub alias: Option<String>,

    /// Headers that a request must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub headers: Vec<HeaderMatch>,

    /// The model that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,

    /// Models that answer in turn, each as often as its weight says. Where the one whose turn it is fails before its
    /// first token, or is left alone since it keeps failing, the others are asked before any fallback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub backends: Vec<Backend>,

    /// The model that answers when those before fail before their first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub fallback: Option<String>,

    /// The same for several models, which are asked in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 128)))]
    pub fallbacks: Vec<String>,

    /// How long is waited for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,

    /// How often a model that failed is asked again, before the next one is. Not at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}
