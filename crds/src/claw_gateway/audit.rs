//! The audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuditArchive, AuditSink};

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

    /// Whether records hold what was asked and answered: Never, the default, or Full, which keeps the texts of prompts
    /// and answers, up to 16 KiB each. Whoever reads the log and its sinks then reads those as well.
    #[serde(default)]
    pub content: AuditContent,

    /// Where records are sent besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub sinks: Option<Vec<AuditSink>>,

    /// Where closed segments of the log are copied, before they become too old for the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<AuditArchive>,
}

impl Audit {
    /// The names of all Secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let sinks = self.sinks.iter().flatten();
        let archive = self.archive.iter();
        sinks
            .flat_map(AuditSink::secret_names)
            .chain(archive.flat_map(AuditArchive::secret_names))
    }

    /// Where it leads.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        let sinks = self.sinks.iter().flatten().filter_map(AuditSink::url);
        // With the bucket before Amazon's host, it still leads to the internet.
        let archive = self.archive.iter();
        sinks.chain(archive.map(|archive| archive.place().endpoint()))
    }
}

const fn default_retention_days() -> i32 {
    180
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            retention_days: default_retention_days(),
            on_failure: AuditFailure::default(),
            content: AuditContent::default(),
            sinks: None,
            archive: None,
        }
    }
}

/// Whether records hold what was asked and answered.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditContent {
    /// Who asked which model, and no word of it.
    #[default]
    Never,
    /// The texts, up to 16 KiB of a prompt and as much of its answers.
    Full,
}

/// What happens while records cannot be kept where they should be.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditFailure {
    /// Nothing happens unrecorded: requests get 503 until records can be written again.
    #[default]
    Block,
    /// Requests are served. What could not be recorded is counted, and the count recorded.
    Shed,
}
