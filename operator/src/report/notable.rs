//! Which changes of conditions are worth an Event. Pure.

use claw_crds::condition::{READY, RECONCILING, STALLED, reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

/// The API server's bound of a note, in bytes.
const LONGEST_NOTE: usize = 1024;

/// The Events for a change from `before` to `after`; none where nothing changed.
pub(super) fn notable(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    let told = |condition: &&Condition| ![RECONCILING, STALLED].contains(&condition.type_.as_str());
    after
        .iter()
        // Those two only sum up the others.
        .filter(told)
        .filter_map(|new| {
            let old = before.iter().find(|old| old.type_ == new.type_);
            // Ready repeats the reason of what keeps it from being True.
            let repeats = new.type_ == READY
                && after
                    .iter()
                    .filter(told)
                    .any(|other| other.type_ != READY && other.reason == new.reason);
            type_of(old, new)
                .filter(|_| !repeats)
                .map(|type_| event(type_, new))
        })
        .collect()
}

fn type_of(old: Option<&Condition>, new: &Condition) -> Option<EventType> {
    let changed = old.is_none_or(|old| old.status != new.status || old.reason != new.reason);
    let was_true = old.is_some_and(|old| old.status == "True");
    match new.status.as_str() {
        _ if !changed => None,
        "True" if old.is_some() => Some(EventType::Normal),
        // On a new object, only the outcome is news: thousands may come at once, and each Event is a write.
        "True" => (new.type_ == READY).then_some(EventType::Normal),
        // Waiting for something else that is told elsewhere, or for pods to start, is no news; falling back to
        // it is.
        _ if is_waiting(&new.reason) && !was_true => None,
        _ => Some(EventType::Warning),
    }
}

fn is_waiting(reason: &str) -> bool {
    [
        reason::PENDING,
        reason::DEPLOYMENT_NOT_READY,
        reason::GATEWAY_NOT_READY,
    ]
    .contains(&reason)
}

fn event(type_: EventType, condition: &Condition) -> Event {
    let mut note = format!("{}: {}", condition.type_, condition.message);
    note.truncate(note.floor_char_boundary(LONGEST_NOTE));
    Event {
        type_,
        reason: condition.reason.clone(),
        note: Some(note),
        action: format!("Report{}", condition.type_),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use claw_crds::condition::{ACCEPTED, Finding, PROGRAMMED, RESOLVED_REFS, merge};
    use jiff::Timestamp;

    use super::*;

    fn conditions(findings: &[Finding]) -> Vec<Condition> {
        merge(&[], findings, Some(1), Timestamp::UNIX_EPOCH)
    }

    fn reasons(before: &[Finding], after: &[Finding]) -> Vec<String> {
        notable(&conditions(before), &conditions(after))
            .into_iter()
            .map(|event| format!("{:?} {}", event.type_, event.reason))
            .collect()
    }

    fn missing() -> Finding {
        Finding::is_false(RESOLVED_REFS, reason::SECRET_NOT_FOUND, "gone")
    }

    fn found() -> Finding {
        Finding::is_true(RESOLVED_REFS, reason::RESOLVED, "found")
    }

    #[test]
    fn nothing_is_told_twice() {
        let findings = [missing(), Finding::is_true(READY, reason::READY, "serving")];
        assert!(reasons(&findings, &findings).is_empty());
    }

    #[test]
    fn a_fault_and_its_end_are_told() {
        assert_eq!(
            reasons(&[found()], &[missing()]),
            ["Warning SecretNotFound"]
        );
        assert_eq!(reasons(&[missing()], &[found()]), ["Normal ResolvedRefs"]);
        assert_eq!(reasons(&[], &[missing()]), ["Warning SecretNotFound"]);
    }

    #[test]
    fn ready_does_not_repeat_its_cause() {
        let not_ready = Finding::is_false(READY, reason::SECRET_NOT_FOUND, "see ResolvedRefs");
        assert_eq!(
            reasons(&[], &[missing(), not_ready]),
            ["Warning SecretNotFound"]
        );
    }

    #[test]
    fn what_sums_up_the_others_is_not_told_and_hides_nothing() {
        let stuck = Finding::is_false(READY, reason::IMAGE_PULL_BACK_OFF, "no image");
        let stalled = Finding::is_true(STALLED, reason::IMAGE_PULL_BACK_OFF, "no image");
        assert_eq!(
            reasons(&[], &[stuck, stalled]),
            ["Warning ImagePullBackOff"]
        );
    }

    #[test]
    fn a_new_object_tells_its_outcome_only() {
        let accepted = Finding::is_true(ACCEPTED, reason::ACCEPTED, "fine");
        let programmed = Finding::is_true(PROGRAMMED, reason::PROGRAMMED, "stored");
        let starting = Finding::is_false(READY, reason::DEPLOYMENT_NOT_READY, "starting");
        let new = [accepted, found(), programmed, starting];
        assert!(reasons(&[], &new).is_empty());
        let [accepted, found, programmed, _] = new;
        let ready = Finding::is_true(READY, reason::READY, "serving");
        assert_eq!(
            reasons(&[], &[accepted, found, programmed, ready]),
            ["Normal Ready"]
        );
    }

    #[test]
    fn falling_back_to_waiting_is_told() {
        let ready = Finding::is_true(READY, reason::READY, "serving");
        let starting = Finding::is_false(READY, reason::DEPLOYMENT_NOT_READY, "no pod");
        assert_eq!(
            reasons(&[ready], &[starting]),
            ["Warning DeploymentNotReady"]
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = Finding::is_false(ACCEPTED, reason::INVALID, "é".repeat(2000));
        let events = notable(&[], &conditions(&[long]));
        let note = events[0].note.as_ref().expect("a note");
        assert!(note.len() <= LONGEST_NOTE);
    }
}
