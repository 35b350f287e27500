//! The audit log.

use serde::{Deserialize, Serialize};

use super::{AuditArchiveConfig, AuditSinkConfig};
use crate::claw_gateway::DEFAULT_RETENTION_DAYS;

/// How the audit log is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditConfig {
    /// Records are deleted when they are older.
    pub retention_days: u32,
    /// What happens while records cannot be written.
    pub on_failure: AuditFailureConfig,
    /// Whether records hold the texts of prompts and answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_content: bool,
    /// Where records are sent besides; names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<AuditSinkConfig>,
    /// Where closed segments are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<AuditArchiveConfig>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            retention_days: DEFAULT_RETENTION_DAYS,
            on_failure: AuditFailureConfig::Block,
            with_content: false,
            sinks: Vec::new(),
            archive: None,
        }
    }
}

/// What happens while records cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditFailureConfig {
    /// Requests are refused.
    Block,
    /// Requests are served; what could not be recorded is counted, and the count recorded.
    Shed,
}
