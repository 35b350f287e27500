//! The audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long records are kept when nothing is said, which is also the shortest that is allowed.
pub const DEFAULT_RETENTION_DAYS: u32 = 180;

/// A log of every request, channel message and change of the configuration: who, what, which model, how many tokens,
/// whether it was allowed. Each record holds the SHA-256 of the one before it, so that `clawdbot audit verify` finds
/// every change. The files lie in `audit` in the state directory. Keep that in a claim (storage.persistentVolumeClaim):
/// without one, records go with their pod.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Days that records are kept, at least 180.
    #[serde(default = "default_retention_days")]
    #[schemars(range(min = 180, max = 36_500))]
    pub retention_days: i32,

    /// What happens while records cannot be written, for example since the disk is full.
    #[serde(default)]
    pub on_failure: AuditFailure,
}

const fn default_retention_days() -> i32 {
    180
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            retention_days: default_retention_days(),
            on_failure: AuditFailure::default(),
        }
    }
}

/// What happens while records cannot be written.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditFailure {
    /// Nothing happens unrecorded: requests get 503 until records can be written again.
    #[default]
    Block,
    /// Requests are served. What could not be recorded is counted, and the count recorded.
    Shed,
}
