//! The routing table as stored.

use serde::{Deserialize, Serialize};

use super::TaskConfig;

/// One rule of the routing table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RouteConfig {
    /// Where the rule was written, e.g. `ModelRoute/support spec.routes[0]`.
    pub origin: String,
    /// A linear-time regular expression, searched in the request path; absent where every path does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The model that the request must name; absent where any or none will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Headers that the request must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatchConfig>,
    /// Models of which each request gets one by weight, and the others after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendConfig>,
    /// Models to try in order, after those of `backends`; both are empty when none of the named ones exists.
    pub targets: Vec<String>,
    /// What its models do, which decides the body at the paths that routes open.
    #[serde(default, skip_serializing_if = "TaskConfig::is_default")]
    pub task: TaskConfig,
    /// How long is waited, where that differs from what the gateway does by default.
    #[serde(default, skip_serializing_if = "TimeoutsConfig::is_default")]
    pub timeouts: TimeoutsConfig,
    /// Whether a model is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesConfig>,
}

/// A header that a request must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HeaderMatchConfig {
    /// Its name in lower case.
    pub name: String,
    /// What its value must be.
    pub value: ValueMatchConfig,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ValueMatchConfig {
    /// This.
    Exact(String),
    /// Something in which this linear-time regular expression is found.
    RegularExpression(String),
}

/// A model and its share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BackendConfig {
    /// The model.
    pub model: String,
    /// Its share of the sum of all weights.
    pub weight: u32,
}

/// Limits of time in milliseconds; absent means the gateway's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TimeoutsConfig {
    /// Until the first content of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// Between two pieces of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// For an answer that is not streamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_ms: Option<u64>,
    /// For everything together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
}

/// How a model is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RetriesConfig {
    /// How often, after the first time.
    pub attempts: u32,
    /// The first pause in milliseconds.
    pub backoff_ms: u64,
    /// The longest pause in milliseconds.
    pub max_backoff_ms: u64,
}

impl RouteConfig {
    /// Whether any of its models exists.
    pub fn has_model(&self) -> bool {
        !self.backends.is_empty() || !self.targets.is_empty()
    }

    /// All regular expressions in it.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        let headers = self
            .headers
            .iter()
            .filter_map(|header| match &header.value {
                ValueMatchConfig::RegularExpression(expression) => Some(expression.as_str()),
                ValueMatchConfig::Exact(_) => None,
            });
        self.pattern.as_deref().into_iter().chain(headers)
    }
}

impl TimeoutsConfig {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_an_older_release_is_read_and_written_as_it_was() {
        let stored = r#"{"origin":"ModelRoute/main spec.routes[0]","pattern":"^/a","targets":["big","tiny"]}"#;
        let rule: RouteConfig = serde_json::from_str(stored).expect("read");
        assert_eq!(rule.pattern.as_deref(), Some("^/a"));
        assert_eq!(serde_json::to_string(&rule).expect("written"), stored);
    }
}
