//! A model with its share of a rule's requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A model and its share of the requests.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// The model.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,

    /// Its share, in proportion to the sum of all weights. 1 when absent; with 0 it is never asked, not even when the
    /// others fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<i32>,
}
