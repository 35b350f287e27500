//! Who may hold a Lease. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Write this: we hold it from then on, or still.
    Hold(LeaseSpec),
    /// Somebody else holds it.
    Wait,
}

/// What we know when we decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Who we are.
    pub(super) identity: &'a str,
    /// How long a Lease of ours is good for.
    pub(super) duration: Duration,
    /// The Lease as it is stored.
    pub(super) lease: Option<&'a LeaseSpec>,
    /// For how long, by our own clock, it has not changed.
    pub(super) unchanged_for: Duration,
    /// What time it is, to be written only.
    pub(super) now: Timestamp,
}

/// Decide.
pub(super) fn decide(view: View<'_>) -> Step {
    let holder = view
        .lease
        .and_then(|lease| lease.holder_identity.as_deref())
        .filter(|holder| !holder.is_empty());
    match (view.lease, holder) {
        (Some(lease), Some(holder)) if holder == view.identity => Step::Hold(LeaseSpec {
            renew_time: Some(MicroTime(view.now)),
            lease_duration_seconds: Some(seconds(view.duration)),
            ..lease.clone()
        }),
        (Some(lease), Some(_)) if view.unchanged_for < word(lease, view.duration) => Step::Wait,
        (lease, _) => Step::Hold(taken(view, lease)),
    }
}

/// A Lease that changes hands.
fn taken(view: View<'_>, lease: Option<&LeaseSpec>) -> LeaseSpec {
    let transitions = lease.map(|lease| lease.lease_transitions.unwrap_or(0).saturating_add(1));
    LeaseSpec {
        holder_identity: Some(view.identity.to_owned()),
        lease_duration_seconds: Some(seconds(view.duration)),
        acquire_time: Some(MicroTime(view.now)),
        renew_time: Some(MicroTime(view.now)),
        lease_transitions: Some(transitions.unwrap_or(0)),
        ..LeaseSpec::default()
    }
}

/// The Lease after its holder gave it up: free at once.
pub(super) fn released(lease: &LeaseSpec, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(now)),
        ..lease.clone()
    }
}

/// For how long the holder's word is good: what it wrote, or what we would.
pub(super) fn word(lease: &LeaseSpec, default: Duration) -> Duration {
    lease
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(default, Duration::from_secs)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIFTEEN: Duration = Duration::from_secs(15);

    fn view(lease: Option<&LeaseSpec>, unchanged_for: u64) -> View<'_> {
        View {
            identity: "one",
            duration: FIFTEEN,
            lease,
            unchanged_for: Duration::from_secs(unchanged_for),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        }
    }

    fn holder(step: &Step) -> Option<(&str, i32)> {
        match step {
            Step::Hold(lease) => {
                Some((lease.holder_identity.as_deref()?, lease.lease_transitions?))
            }
            Step::Wait => None,
        }
    }

    #[test]
    fn a_lease_that_nobody_made_is_taken() {
        assert_eq!(holder(&decide(view(None, 0))), Some(("one", 0)));
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let released = released(&held_by("two"), Timestamp::UNIX_EPOCH);
        assert_eq!(holder(&decide(view(Some(&released), 0))), Some(("one", 4)));
    }

    #[test]
    fn our_own_lease_is_renewed_without_a_transition() {
        let lease = held_by("one");
        assert_eq!(holder(&decide(view(Some(&lease), 60))), Some(("one", 3)));
    }

    #[test]
    fn a_living_holder_is_waited_for() {
        assert_eq!(decide(view(Some(&held_by("two")), 14)), Step::Wait);
    }

    #[test]
    fn a_holder_that_went_silent_is_replaced() {
        let lease = held_by("two");
        assert_eq!(holder(&decide(view(Some(&lease), 15))), Some(("one", 4)));
    }
}
