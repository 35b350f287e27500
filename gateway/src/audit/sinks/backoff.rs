//! How long to wait before the next try. Pure, but for chance.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// A receiver may ask for more time than this; it does not get it, since the log fills meanwhile.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// Waits that double, each of them shortened by chance so that replicas do not come together.
#[derive(Debug, Default)]
pub(in crate::audit) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(in crate::audit) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure. `asked` is what the receiver wants.
    pub(in crate::audit) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(LONGEST);
        let wait = wait.mul_f64(rand::random_range(0.5..=1.0));
        asked.map_or(wait, |asked| asked.min(LONGEST_ASKED).max(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..64).map(|_| backoff.next(None)).collect();
        assert!((FIRST / 2..=FIRST).contains(&waits[0]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(waits[63] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
        assert_eq!(backoff.next(Some(LONGEST)), LONGEST);
        assert_eq!(backoff.next(Some(Duration::MAX)), LONGEST_ASKED);
    }
}
