//! What is seen of a connection that is looked at now and then: whether it waits, and whether its client takes too long.
//!
//! A timer for each head would be set and cleared with every request; a look at a connection costs nothing between two.

use std::time::Duration;

use tokio::time::Instant;

use super::activity::Activity;
use super::connection::FIRST_REQUEST_TIMEOUT;

/// For the head of each request but the first, the silence before it included, and for the silence of a parked connection.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Serve it further.
    Active,
    /// Park it until its client sends something.
    Waiting,
    /// Close it: its client never comes to the point.
    Stalled,
}

/// What was seen before.
pub(super) struct Watch {
    begun: usize,
    /// Since when no request has begun and none was under way.
    since: Instant,
}

impl Watch {
    pub(super) fn begin(activity: &Activity, now: Instant) -> Self {
        Self {
            begun: activity.begun(),
            since: now,
        }
    }

    pub(super) fn look(&mut self, activity: &Activity, now: Instant) -> Sight {
        let begun = activity.begun();
        if begun != self.begun || activity.is_answering() {
            *self = Self { begun, since: now };
            return Sight::Active;
        }
        let limit = if begun == 0 {
            FIRST_REQUEST_TIMEOUT
        } else {
            HEAD_TIMEOUT
        };
        if now.duration_since(self.since) >= limit {
            Sight::Stalled
        } else if begun > 0 && activity.is_over() {
            Sight::Waiting
        } else {
            Sight::Active
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(250);

    #[test]
    fn a_connection_without_a_request_is_active_for_its_time() {
        let (activity, opened) = (Activity::default(), Instant::now());
        let mut watch = Watch::begin(&activity, opened);
        activity.read();
        assert_eq!(watch.look(&activity, opened + MOMENT), Sight::Active);
        let last = opened + FIRST_REQUEST_TIMEOUT;
        assert_eq!(watch.look(&activity, last - MOMENT), Sight::Active);
        assert_eq!(watch.look(&activity, last), Sight::Stalled);
    }

    #[test]
    fn it_waits_once_nothing_has_begun_since_the_last_look() {
        let (activity, opened) = (Arc::<Activity>::default(), Instant::now());
        let mut watch = Watch::begin(&activity, opened);
        let request = activity.begin();
        let late = opened + 10 * HEAD_TIMEOUT;
        assert_eq!(watch.look(&activity, late), Sight::Active, "it is answered");
        drop(request);
        drop(activity.begin());
        assert_eq!(watch.look(&activity, late + MOMENT), Sight::Active);
        assert_eq!(watch.look(&activity, late + 2 * MOMENT), Sight::Waiting);
    }

    #[test]
    fn a_later_head_has_its_time_from_the_answer_before() {
        let (activity, opened) = (Arc::<Activity>::default(), Instant::now());
        let mut watch = Watch::begin(&activity, opened);
        drop(activity.begin());
        let answered = opened + MOMENT;
        assert_eq!(watch.look(&activity, answered), Sight::Active);
        activity.read();
        let last = answered + HEAD_TIMEOUT;
        assert_eq!(watch.look(&activity, last - MOMENT), Sight::Active);
        assert_eq!(watch.look(&activity, last), Sight::Stalled);
    }

    #[test]
    fn who_takes_an_answer_slowly_is_not_at_a_head() {
        let (activity, opened) = (Arc::<Activity>::default(), Instant::now());
        let mut watch = Watch::begin(&activity, opened);
        drop(activity.begin());
        activity.wrote(false);
        let late = opened + 2 * HEAD_TIMEOUT;
        assert_eq!(watch.look(&activity, opened + MOMENT), Sight::Active);
        assert_eq!(watch.look(&activity, late), Sight::Active);
    }
}
