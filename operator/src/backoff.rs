//! How long a failing object waits before it is tried again: twice as long each time, with jitter, per object.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row of every object that fails.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// The object failed once more: how long to wait.
    pub fn next(&self, object: &str) -> Duration {
        let mut failures = self.failures();
        let count = failures.entry(object.to_owned()).or_default();
        let wait = wait(*count, rand::random());
        *count = count.saturating_add(1);
        wait
    }

    /// The object is well again, or gone.
    pub fn reset(&self, object: &str) {
        self.failures().remove(object);
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait after so many earlier failures; `jitter` lies in 0..1 and takes away up to half, so that objects
/// which failed together do not come back together.
fn wait(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(LONGEST).mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_cap() {
        assert_eq!(wait(0, 0.0), FIRST);
        assert_eq!(wait(3, 0.0), FIRST * 8);
        assert_eq!(wait(40, 0.0), LONGEST);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert!(wait(0, 0.999) >= FIRST / 2);
        assert!(wait(0, 0.5) < FIRST);
    }

    #[test]
    fn each_object_waits_for_itself_and_starts_anew_when_well() {
        let backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next("shop/desk");
        }
        assert!(backoff.next("shop/phone") <= FIRST);
        backoff.reset("shop/desk");
        assert!(backoff.next("shop/desk") <= FIRST);
    }
}
