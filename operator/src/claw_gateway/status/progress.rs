//! The conditions that kstatus knows: Reconciling and Stalled, there only while true. By them Flux, and Argo CD with
//! `deploy/argo-cd`, tell a gateway that is on its way from one that needs help. Pure.

use claw_crds::condition::{ACCEPTED, Finding, READY, RECONCILING, STALLED, reason};

use super::{Outcome, Programmed, readiness, trouble};

/// What is to be added to the findings so far.
pub(super) fn of(outcome: &Outcome<'_>, findings: &[Finding]) -> Option<Finding> {
    let ready = findings.iter().find(|finding| finding.condition == READY)?;
    match &outcome.programmed {
        // What the spec refers to may still come.
        Programmed::Kept | Programmed::Never if is_accepted(findings) => Some(reconciling(ready)),
        // Nothing changes until somebody corrects the object.
        Programmed::Kept | Programmed::Never => Some(stalled(ready)),
        Programmed::Failed(failure) if failure.is_final => Some(stalled(ready)),
        Programmed::Failed(_) => Some(reconciling(ready)),
        Programmed::Yes if ready.status == "True" => {
            let rolling = outcome
                .deployment
                .filter(|deployment| !readiness::is_rolled_out(deployment));
            rolling.map(|_| rolling_out(outcome.reports.unready.as_deref()))
        }
        Programmed::Yes if ready.reason == reason::SCALED_TO_ZERO => None,
        Programmed::Yes => {
            let stuck = ready.reason == reason::PROGRESS_DEADLINE_EXCEEDED
                || trouble::worst(outcome.pods).is_some_and(|trouble| trouble.is_final);
            Some(if stuck {
                stalled(ready)
            } else {
                reconciling(ready)
            })
        }
    }
}

/// `unready` is what a new pod says it waits for.
fn rolling_out(unready: Option<&str>) -> Finding {
    let serving = "pods of the version before serve until the new ones are ready";
    let message = unready.map_or_else(
        || serving.to_owned(),
        |unready| format!("{serving}; {unready}"),
    );
    Finding::is_true(RECONCILING, reason::ROLLING_OUT, message)
}

fn is_accepted(findings: &[Finding]) -> bool {
    let mut findings = findings.iter();
    findings.any(|finding| finding.condition == ACCEPTED && finding.status == "True")
}

fn stalled(ready: &Finding) -> Finding {
    Finding::is_true(STALLED, ready.reason, ready.message.clone())
}

fn reconciling(ready: &Finding) -> Finding {
    Finding::is_true(RECONCILING, ready.reason, ready.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_tells_what_the_new_pods_wait_for() {
        let finding = rolling_out(Some("pod desk-2: model parrot is loading"));
        assert_eq!(
            finding.message,
            "pods of the version before serve until the new ones are ready; pod desk-2: model parrot is loading"
        );
    }
}
