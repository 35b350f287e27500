//! How fast something comes.

use std::time::{Duration, Instant};

/// Shorter spans say little.
const SPAN: Duration = Duration::from_secs(1);
/// How much a new span counts against those before.
const WEIGHT: f64 = 0.3;

/// A rate over the last seconds.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    /// Of the first call: what was there before did not come.
    done: Option<u64>,
    rate: Option<f64>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            done: None,
            rate: None,
        }
    }

    /// Bytes a second, when so many are there now; unknown in the first second.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of less than 2^52 bytes a second, never negative"
    )]
    pub(super) fn rate(&mut self, done: u64, now: Instant) -> Option<u64> {
        let before = *self.done.get_or_insert(done);
        let span = now.saturating_duration_since(self.since);
        if span >= SPAN {
            let latest = done.saturating_sub(before) as f64 / span.as_secs_f64();
            let rate = self
                .rate
                .map_or(latest, |rate| rate + WEIGHT * (latest - rate));
            self.rate = Some(rate);
            self.since = now;
            self.done = Some(done);
        }
        self.rate.map(|rate| rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_after_a_second_and_follows() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(pace.rate(500, at(0)), None, "what was there did not come");
        assert_eq!(pace.rate(1500, at(1)), Some(1000));
        assert_eq!(pace.rate(1600, at(1)), Some(1000), "too short to tell");
        assert_eq!(pace.rate(3500, at(2)), Some(1300));
    }
}
