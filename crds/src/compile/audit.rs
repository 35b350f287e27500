//! The audit log.

use super::Found;
use super::audit_sinks;
use super::problem::{ObjectRef, Problem};
use crate::claw_gateway::{Audit, AuditContent, AuditFailure, DEFAULT_RETENTION_DAYS};
use crate::gateway_config::{AuditConfig, AuditFailureConfig};

pub(super) fn compile(
    gateway: &ObjectRef,
    audit: &Audit,
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> AuditConfig {
    let Audit {
        retention_days,
        on_failure,
        content,
        sinks,
        archive,
    } = audit;
    let sinks = sinks.as_deref().unwrap_or_default();
    AuditConfig {
        // The schema admits no less; whatever got around it is kept for as long as the law of the house says.
        retention_days: u32::try_from(*retention_days)
            .unwrap_or_default()
            .max(DEFAULT_RETENTION_DAYS),
        on_failure: match on_failure {
            AuditFailure::Block => AuditFailureConfig::Block,
            AuditFailure::Shed => AuditFailureConfig::Shed,
        },
        with_content: match content {
            AuditContent::Never => false,
            AuditContent::Full => true,
        },
        sinks: audit_sinks::sinks(gateway, sinks, found, problems),
        archive: archive.as_ref().and_then(|archive| {
            audit_sinks::archive(gateway, archive, found)
                .map_err(|problem| problems.push(problem))
                .ok()
        }),
    }
}
