//! The audit log.

use crate::claw_gateway::{Audit, AuditFailure, DEFAULT_RETENTION_DAYS};
use crate::gateway_config::{AuditConfig, AuditFailureConfig};

pub(super) fn compile(audit: Option<&Audit>) -> Option<AuditConfig> {
    audit.map(
        |Audit {
             retention_days,
             on_failure,
         }| AuditConfig {
            // The schema admits no less; whatever got around it is kept for as long as the law of the house says.
            retention_days: u32::try_from(*retention_days)
                .unwrap_or_default()
                .max(DEFAULT_RETENTION_DAYS),
            on_failure: match on_failure {
                AuditFailure::Block => AuditFailureConfig::Block,
                AuditFailure::Shed => AuditFailureConfig::Shed,
            },
        },
    )
}
