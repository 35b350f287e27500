//! What may be used within a minute, a day or a month, and what it costs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::Money;

/// What may be used within a minute, a day or a month. Requests beyond it get 429 with Retry-After and the name of
/// the limit. What a request may use is set aside before a model is asked, from the size of its prompt and its
/// max_tokens (4096 where it has none), and corrected by what was used once it is over.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Requests per minute of the clock, those that models answer with an error included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests_per_minute: Option<i64>,

    /// Tokens per minute of the clock, prompt and answer together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub tokens_per_minute: Option<i64>,

    /// Tokens per day of the limits' time zone, prompt and answer together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub tokens_per_day: Option<i64>,

    /// Tokens per calendar month of the limits' time zone, prompt and answer together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub tokens_per_month: Option<i64>,

    /// Cost per day of the limits' time zone, in the currency of the models' prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_day: Option<Money>,

    /// Cost per calendar month of the limits' time zone, in the currency of the models' prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_month: Option<Money>,

    /// Answers under way at a time, streamed or not, counted in each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent_streams: Option<i32>,
}

impl Budget {
    /// Whether something has to be remembered, and shared between replicas.
    pub fn needs_state(&self) -> bool {
        let Self {
            requests_per_minute,
            tokens_per_minute,
            tokens_per_day,
            tokens_per_month,
            cost_per_day,
            cost_per_month,
            concurrent_streams: _,
        } = self;
        [
            requests_per_minute,
            tokens_per_minute,
            tokens_per_day,
            tokens_per_month,
        ]
        .into_iter()
        .any(Option::is_some)
            || cost_per_day.is_some()
            || cost_per_month.is_some()
    }
}

/// What a model's tokens cost, in any one currency.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// Price of a million prompt tokens, e.g. "0.15".
    pub input_per_million: Money,

    /// Price of a million tokens of answers, e.g. "0.60".
    pub output_per_million: Money,
}
