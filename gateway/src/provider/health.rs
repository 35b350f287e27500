//! When an API is left alone for a while, since it fails again and again or asked for it. Pure: the time comes in.
//!
//! Counted is what the API does, not what callers send: a request that it refuses shows that it works.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{GatewayError, whole_seconds};

/// Failures in a row after which an API is left alone: what Envoy takes, too
/// (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/outlier_detection.proto>).
const FAILURES: u32 = 5;
/// The first rest; each further one is twice as long.
const FIRST_REST: Duration = Duration::from_secs(5);
/// The longest rest after failures.
const LONGEST_REST: Duration = Duration::from_mins(5);
/// The longest rest that an API can ask for: an error of its own must not keep it away for days.
const LONGEST_WISH: Duration = Duration::from_hours(1);
/// After a rest, one request tries; the others wait for what becomes of it, for so long at most.
const TRIAL: Duration = Duration::from_secs(10);

/// How an API has been.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// In a row, without a success between.
    rests: u32,
    rest: Option<Rest>,
}

/// An API is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    until: Instant,
    /// It asked for it, or it fails.
    pub cause: Cause,
}

/// Why an API is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It said when to come back. To ask earlier would make it worse.
    Wish,
    /// It has failed in a row. Asking is better than nothing where no other model is left.
    Failures(&'static str),
}

impl Rest {
    /// For people.
    pub fn told(&self, now: Instant) -> String {
        let seconds = whole_seconds(self.left(now));
        match self.cause {
            Cause::Wish => format!("its API asked for a pause, of which {seconds} s are left"),
            Cause::Failures(reason) => {
                format!("its API failed again and again ({reason}); tried again in {seconds} s")
            }
        }
    }

    /// How much of it is left.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}

impl Health {
    /// Whether the API is left alone now. Where a rest has just ended, the caller is the one that tries.
    pub fn admit(&self, now: Instant) -> Result<(), Rest> {
        let mut state = self.lock();
        let Some(rest) = &mut state.rest else {
            return Ok(());
        };
        if now < rest.until {
            return Err(*rest);
        }
        rest.until = now + TRIAL;
        Ok(())
    }

    /// The rest that is under way, for people.
    pub fn rest(&self, now: Instant) -> Option<Rest> {
        self.lock().rest.filter(|rest| now < rest.until)
    }

    /// An answer began: the rest is over, whatever becomes of the answer.
    pub fn began(&self) {
        self.lock().rest = None;
    }

    /// A whole answer came.
    pub fn succeeded(&self) {
        *self.lock() = State::default();
    }

    /// What became of a request that failed. Gives the rest that begins with it.
    pub fn failed(&self, error: &GatewayError, now: Instant) -> Option<Rest> {
        match error {
            GatewayError::UpstreamRateLimited {
                retry_after: Some(wish),
                ..
            } => {
                let rest = Rest {
                    until: now + (*wish).min(LONGEST_WISH),
                    cause: Cause::Wish,
                };
                self.lock().rest = Some(rest);
                Some(rest)
            }
            GatewayError::UpstreamRateLimited { .. }
            | GatewayError::UpstreamUnreachable { .. }
            | GatewayError::UpstreamTimeout { .. }
            | GatewayError::UpstreamStatus { .. }
            | GatewayError::UpstreamMalformed { .. }
            | GatewayError::UpstreamInterrupted { .. } => {
                self.lock().count(error.metric_label(), now)
            }
            GatewayError::UpstreamRejected { .. } => {
                self.succeeded();
                None
            }
            // Not of the API.
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment or sum, so a panic elsewhere left nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, label: &'static str, now: Instant) -> Option<Rest> {
        self.failures = self.failures.saturating_add(1);
        // The one that tried after a rest has failed, too: no need for five more.
        if self.failures < FAILURES && self.rest.is_none() {
            return None;
        }
        let length = FIRST_REST.saturating_mul(1 << self.rests.min(16));
        let rest = Rest {
            until: now + length.min(LONGEST_REST),
            cause: Cause::Failures(label),
        };
        self.rest = Some(rest);
        self.rests = self.rests.saturating_add(1);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn broken() -> GatewayError {
        GatewayError::UpstreamStatus {
            model: "far".into(),
            status: StatusCode::BAD_GATEWAY,
        }
    }

    fn busy(seconds: Option<u64>) -> GatewayError {
        GatewayError::UpstreamRateLimited {
            model: "far".into(),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// An API that has failed so often, and the time.
    fn failing(times: u32) -> (Health, Instant) {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..times {
            health.failed(&broken(), now);
        }
        (health, now)
    }

    fn left(health: &Health, now: Instant) -> Option<u64> {
        health.rest(now).map(|rest| rest.left(now).as_secs())
    }

    #[test]
    fn five_failures_in_a_row_give_a_rest() {
        let (health, now) = failing(4);
        assert_eq!(health.admit(now), Ok(()));
        health.failed(&broken(), now);
        let rest = health.admit(now).expect_err("left alone");
        assert_eq!(rest.cause, Cause::Failures("upstream_error"));
        assert_eq!(rest.left(now), FIRST_REST);
    }

    #[test]
    fn a_success_between_makes_them_forgotten() {
        let (health, now) = failing(4);
        health.succeeded();
        health.failed(&broken(), now);
        assert_eq!(health.admit(now), Ok(()));
        let (health, now) = failing(4);
        let refused = GatewayError::UpstreamRejected {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: crate::error::ErrorDetail {
                message: "no".into(),
                kind: String::new(),
                param: None,
                code: None,
            },
        };
        health.failed(&refused, now);
        health.failed(&broken(), now);
        assert_eq!(health.admit(now), Ok(()), "who refuses, works");
    }

    #[test]
    fn after_a_rest_one_tries_and_the_others_wait_for_it() {
        let (health, now) = failing(5);
        let later = now + FIRST_REST;
        assert_eq!(health.admit(later), Ok(()));
        assert!(health.admit(later).is_err(), "somebody tries already");
        health.began();
        assert_eq!(health.admit(later), Ok(()));
    }

    #[test]
    fn who_fails_after_a_rest_rests_twice_as_long() {
        let (health, mut now) = failing(5);
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            now = health.rest(now).expect("a rest").until;
            assert_eq!(health.admit(now), Ok(()));
            health.failed(&broken(), now);
            assert_eq!(left(&health, now), Some(expected));
        }
        health.succeeded();
        assert_eq!(left(&health, now), None);
    }

    #[test]
    fn one_who_left_before_the_answer_keeps_nobody_away_for_long() {
        let (health, now) = failing(5);
        let later = now + FIRST_REST;
        assert_eq!(health.admit(later), Ok(()));
        assert_eq!(health.admit(later + TRIAL), Ok(()));
    }

    #[test]
    fn who_asks_for_a_rest_gets_it() {
        let (health, now) = failing(0);
        health.failed(&busy(Some(7)), now);
        let rest = health.admit(now).expect_err("left alone");
        assert_eq!((rest.cause, rest.left(now).as_secs()), (Cause::Wish, 7));
        health.failed(&busy(Some(1_000_000)), now);
        assert_eq!(left(&health, now), Some(3600));
    }

    #[test]
    fn a_limit_without_a_time_counts_as_a_failure() {
        let (health, now) = failing(4);
        health.failed(&busy(None), now);
        assert_eq!(left(&health, now), Some(5));
    }

    #[test]
    fn what_is_not_the_apis_fault_does_not_count() {
        let (health, now) = failing(4);
        health.failed(&GatewayError::invalid("messages", "none"), now);
        assert_eq!(health.admit(now), Ok(()));
    }
}
