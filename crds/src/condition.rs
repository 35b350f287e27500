//! The condition vocabulary of all kinds: Gateway-API types, reason constants, and the one way to build a list.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The spec is valid in itself.
pub const ACCEPTED: &str = "Accepted";
/// Everything the spec refers to exists and fits.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// The gateway's configuration holds it.
pub const PROGRAMMED: &str = "Programmed";
/// It serves. The one to wait for.
pub const READY: &str = "Ready";

/// There only while True, as kstatus has it: it is on the way to what the spec says.
pub const RECONCILING: &str = "Reconciling";
/// There only while True, as kstatus has it: it will not get to what the spec says without somebody's help.
pub const STALLED: &str = "Stalled";

/// Reasons, in CamelCase as `kubectl` shows them.
pub mod reason {
    /// Accepted: nothing is wrong with the spec.
    pub const ACCEPTED: &str = "Accepted";
    /// ResolvedRefs: every reference was found.
    pub const RESOLVED: &str = "ResolvedRefs";
    /// Programmed: the configuration is stored.
    pub const PROGRAMMED: &str = "Programmed";
    /// Ready: it serves.
    pub const READY: &str = "Ready";
    /// Accepted: a field has a value that cannot work.
    pub const INVALID: &str = "Invalid";
    /// Accepted: two models, channels or routes claim one name.
    pub const CONFLICT: &str = "Conflict";
    /// ResolvedRefs: a Secret, or an entry of one, is missing.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// ResolvedRefs: a Secret's content does not fit.
    pub const INVALID_SECRET: &str = "InvalidSecret";
    /// ResolvedRefs: a ConfigMap, or an entry of one, is missing.
    pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
    /// ResolvedRefs: a ConfigMap's content does not fit.
    pub const INVALID_CONFIG_MAP: &str = "InvalidConfigMap";
    /// ResolvedRefs: the cluster does not have the kind of an object that is asked for.
    pub const KIND_NOT_FOUND: &str = "KindNotFound";
    /// ResolvedRefs: no model of that name.
    pub const MODEL_NOT_FOUND: &str = "ModelNotFound";
    /// ResolvedRefs: a model does something else than what is asked of it.
    pub const TASK_MISMATCH: &str = "TaskMismatch";
    /// ResolvedRefs: no ClawGateway of that name.
    pub const GATEWAY_NOT_FOUND: &str = "GatewayNotFound";
    /// Programmed or Ready: something above is not True.
    pub const PENDING: &str = "Pending";
    /// Programmed: writing the children failed.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// Ready: pods are not serving yet.
    pub const DEPLOYMENT_NOT_READY: &str = "DeploymentNotReady";
    /// Ready: the pods did not get ready in time.
    pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
    /// Ready: a pod cannot pull its image.
    pub const IMAGE_PULL_BACK_OFF: &str = "ImagePullBackOff";
    /// Ready: a pod's container cannot be made.
    pub const CREATE_CONTAINER_ERROR: &str = "CreateContainerError";
    /// Ready: a pod's container ends with an error again and again.
    pub const CRASH_LOOP_BACK_OFF: &str = "CrashLoopBackOff";
    /// Ready: no node takes a pod.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// Reconciling: pods of the version before are still to be replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Ready: the gateway was scaled to zero.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// Ready: the gateway it belongs to is not ready.
    pub const GATEWAY_NOT_READY: &str = "GatewayNotReady";
}

/// Statuses that carry conditions.
pub trait HasConditions {
    /// The conditions as last written.
    fn conditions(&self) -> &[Condition];
}

/// One condition before it has a time: what is known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// One of the condition types above.
    pub condition: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One of [`reason`].
    pub reason: &'static str,
    /// What is so, and where it is not as wished, what to do.
    pub message: String,
}

impl Finding {
    /// It is so.
    pub fn is_true(
        condition: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            condition,
            status: "True",
            reason,
            message: message.into(),
        }
    }

    /// It is not so.
    pub fn is_false(
        condition: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            condition,
            status: "False",
            reason,
            message: message.into(),
        }
    }

    /// It cannot be told.
    pub fn unknown(
        condition: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            condition,
            status: "Unknown",
            reason,
            message: message.into(),
        }
    }
}

/// The conditions to store: `lastTransitionTime` moves only when a status changes, so that writing the same
/// finding again changes nothing.
pub fn merge(
    old: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let since = old
                .iter()
                .find(|condition| {
                    condition.type_ == finding.condition && condition.status == finding.status
                })
                .map_or_else(
                    || Time(now),
                    |condition| condition.last_transition_time.clone(),
                );
            Condition {
                type_: finding.condition.to_owned(),
                status: finding.status.to_owned(),
                reason: finding.reason.to_owned(),
                message: finding.message.clone(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn the_transition_time_stays_while_the_status_stays() {
        let first = merge(
            &[],
            &[Finding::is_true(READY, reason::READY, "serving")],
            Some(1),
            at(10),
        );
        let again = merge(
            &first,
            &[Finding::is_true(READY, reason::READY, "serving")],
            Some(1),
            at(20),
        );
        assert_eq!(first, again);
    }

    #[test]
    fn the_transition_time_moves_with_the_status() {
        let first = merge(
            &[],
            &[Finding::is_true(READY, reason::READY, "serving")],
            Some(1),
            at(10),
        );
        let then = merge(
            &first,
            &[Finding::is_false(READY, reason::PENDING, "no pods")],
            Some(2),
            at(20),
        );
        assert_eq!(then[0].last_transition_time, Time(at(20)));
        assert_eq!(then[0].observed_generation, Some(2));
    }
}
