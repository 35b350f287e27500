//! Several keys of one API: taken in turn, and left alone for a while where the API refuses or limits them. Pure: the
//! time comes in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use claw_crds::gateway_config::{CredentialConfig, Redacted};
use http::StatusCode;

use super::refusal::silent;
use crate::error::{ErrorDetail, GatewayError, whole_seconds};

/// How long a key rests that the API refuses: somebody has to mend it.
const REFUSED: Duration = Duration::from_mins(10);
/// How long a key rests that is limited, where the API does not say.
const LIMITED: Duration = Duration::from_secs(30);
/// The longest rest that an API can ask for.
const LONGEST: Duration = Duration::from_hours(1);

/// How the keys of an API have been. A single key is never left alone: the API's own health tells what to do.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<Redacted>,
    next: AtomicUsize,
    rests: Mutex<HashMap<usize, KeyRest>>,
}

/// A key is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRest {
    until: Instant,
    /// What the API said about it.
    pub cause: KeyCause,
}

/// Why a key is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCause {
    /// It is not valid, or may not do this.
    Refused,
    /// It was used too much.
    Limited,
}

impl KeyRest {
    /// How much of it is left.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// For people.
    pub fn told(&self, now: Instant) -> String {
        let seconds = whole_seconds(self.left(now));
        match self.cause {
            KeyCause::Refused => format!("the API refuses it; tried again in {seconds} s"),
            KeyCause::Limited => format!("the API limits it; tried again in {seconds} s"),
        }
    }
}

impl KeyRing {
    /// These keys, none of which was used yet.
    pub fn new(credentials: &[CredentialConfig]) -> Self {
        let keys = credentials.iter().map(|key| key.value.clone());
        Self {
            keys: keys.collect(),
            ..Self::default()
        }
    }

    /// Without the words of an API that repeat a key: they are meant for us, and would be passed on to callers.
    pub fn veil(&self, model: &str, error: GatewayError) -> GatewayError {
        match error {
            GatewayError::UpstreamRejected { status, detail } if self.is_told(&detail) => {
                GatewayError::UpstreamRejected {
                    status,
                    detail: silent(model, status),
                }
            }
            other => other,
        }
    }

    fn is_told(&self, detail: &ErrorDetail) -> bool {
        let ErrorDetail {
            message,
            kind,
            param,
            code,
        } = detail;
        let texts = [Some(message), Some(kind), param.as_ref(), code.as_ref()];
        let keys = self.keys.iter().map(Redacted::expose);
        let mut keys = keys.filter(|key| !key.is_empty());
        keys.any(|key| texts.into_iter().flatten().any(|text| text.contains(key)))
    }

    /// The keys to try now of so many, in this order. The error is how long all of them have to be left alone.
    pub(super) fn order(&self, count: usize, now: Instant) -> Result<Vec<usize>, Duration> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turn: Vec<usize> = (0..count)
            .map(|offset| first.wrapping_add(offset) % count)
            .collect();
        let rests = self.lock();
        let rest = |index: &usize| rests.get(index).filter(|rest| now < rest.until);
        let awake: Vec<usize> = turn
            .iter()
            .copied()
            .filter(|index| rest(index).is_none())
            .collect();
        if !awake.is_empty() {
            return Ok(awake);
        }
        let limited = turn
            .iter()
            .filter_map(rest)
            .filter(|rest| rest.cause == KeyCause::Limited)
            .map(|rest| rest.left(now))
            .min();
        match limited {
            Some(left) => Err(left),
            // All are refused. One is asked, since somebody may have mended it.
            None => Ok(turn.into_iter().take(1).collect()),
        }
    }

    /// What became of a request with one of so many keys. Gives the rest that begins with it; the next key may do.
    pub(super) fn failed(
        &self,
        index: usize,
        count: usize,
        error: &GatewayError,
        now: Instant,
    ) -> Option<KeyRest> {
        if count < 2 {
            return None;
        }
        let (length, cause) = match error {
            GatewayError::UpstreamRateLimited { retry_after, .. } => {
                (retry_after.unwrap_or(LIMITED), KeyCause::Limited)
            }
            GatewayError::UpstreamStatus {
                status:
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED,
                ..
            } => (REFUSED, KeyCause::Refused),
            _ => return None,
        };
        let rest = KeyRest {
            until: now + length.min(LONGEST),
            cause,
        };
        self.lock().insert(index, rest);
        Some(rest)
    }

    /// The API took this key.
    pub(super) fn succeeded(&self, index: usize) {
        self.lock().remove(&index);
    }

    /// The rest of a key that is under way.
    pub fn rest(&self, index: usize, now: Instant) -> Option<KeyRest> {
        self.lock()
            .get(&index)
            .copied()
            .filter(|rest| now < rest.until)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, KeyRest>> {
        // Every change is a single insertion or removal, so a panic elsewhere left nothing half-done.
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(seconds: Option<u64>) -> GatewayError {
        GatewayError::UpstreamRateLimited {
            model: "far".into(),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    fn status(status: StatusCode) -> GatewayError {
        GatewayError::UpstreamStatus {
            model: "far".into(),
            status,
        }
    }

    #[test]
    fn words_that_repeat_a_key_are_not_passed_on() {
        let credential = CredentialConfig {
            name: "provider/key".into(),
            value: Redacted::new("sk-open"),
        };
        let ring = KeyRing::new(&[credential]);
        let told = |message: &str| {
            let error = GatewayError::UpstreamRejected {
                status: StatusCode::BAD_REQUEST,
                detail: ErrorDetail {
                    message: message.to_owned(),
                    kind: String::new(),
                    param: None,
                    code: None,
                },
            };
            match ring.veil("near", error) {
                GatewayError::UpstreamRejected { detail, .. } => detail.message,
                other => unreachable!("{other}"),
            }
        };
        assert_eq!(told("too hot"), "too hot");
        assert_eq!(
            told("too hot for sk-open"),
            "the API of model `near` refused the request with status 400 Bad Request"
        );
    }

    #[test]
    fn keys_are_taken_in_turn() {
        let (ring, now) = (KeyRing::default(), Instant::now());
        let firsts: Vec<_> = (0..4)
            .map(|_| ring.order(3, now).expect("awake")[0])
            .collect();
        assert_eq!(firsts, [0, 1, 2, 0]);
        assert_eq!(ring.order(0, now), Ok(Vec::new()));
    }

    #[test]
    fn a_refused_key_rests_for_long_and_a_limited_one_as_long_as_it_is_told() {
        let (ring, now) = (KeyRing::default(), Instant::now());
        let rest = ring.failed(0, 3, &status(StatusCode::UNAUTHORIZED), now);
        assert_eq!(rest.expect("rests").left(now), REFUSED);
        let rest = ring.failed(1, 3, &limited(Some(7)), now);
        assert_eq!(rest.expect("rests").left(now).as_secs(), 7);
        assert_eq!(ring.order(3, now), Ok(vec![2]));
        let later = now + Duration::from_secs(8);
        assert_eq!(ring.order(3, later), Ok(vec![1, 2]));
        assert!(ring.rest(0, later).is_some() && ring.rest(1, later).is_none());
        assert_eq!(ring.order(3, now + REFUSED).map(|order| order.len()), Ok(3));
    }

    #[test]
    fn where_all_rest_the_soonest_limit_counts() {
        let (ring, now) = (KeyRing::default(), Instant::now());
        ring.failed(0, 3, &limited(None), now);
        ring.failed(1, 3, &limited(Some(90_000)), now);
        ring.failed(2, 3, &status(StatusCode::FORBIDDEN), now);
        assert_eq!(ring.order(3, now), Err(LIMITED));
        assert_eq!(ring.rest(1, now).map(|rest| rest.left(now)), Some(LONGEST));
    }

    #[test]
    fn where_all_are_refused_one_is_asked() {
        let (ring, now) = (KeyRing::default(), Instant::now());
        for index in 0..2 {
            ring.failed(index, 2, &status(StatusCode::UNAUTHORIZED), now);
        }
        assert_eq!(ring.order(2, now).map(|order| order.len()), Ok(1));
        ring.succeeded(1);
        assert_eq!(ring.order(2, now), Ok(vec![1]));
    }

    #[test]
    fn a_single_key_and_other_failures_give_no_rest() {
        let (ring, now) = (KeyRing::default(), Instant::now());
        assert_eq!(ring.failed(0, 1, &limited(None), now), None);
        assert_eq!(
            ring.failed(0, 2, &status(StatusCode::BAD_GATEWAY), now),
            None
        );
        assert_eq!(ring.order(1, now), Ok(vec![0]));
    }
}
