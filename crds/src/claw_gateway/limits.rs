//! What is let in at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Budget;

/// What is let in at all.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests per second for each caller (an API key, or a client address where callers are anonymous),
    /// counted in each replica. More get 429 with Retry-After. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<i32>,

    /// Open client connections of each replica, instead of what the size says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<i32>,

    /// Largest request body in bytes; 4 MiB when absent. Larger ones get 413.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: Option<i64>,

    /// What all callers together may use.
    #[serde(flatten)]
    pub budget: Budget,

    /// What each caller may use: an API key, or a client address where callers are anonymous. Messages of chat
    /// platforms have no caller; they count for the gateway and their model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<Budget>,

    /// Where days and months begin, e.g. Europe/Berlin; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z][A-Za-z0-9_+/-]*$")
    )]
    pub time_zone: Option<String>,
}

/// Largest request body when nothing is said: 4 MiB.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 4 * 1024 * 1024;
