//! The database's time between two looks at it. Never goes back, and knows nothing of this machine's wall clock
//! where the database has a machine of its own.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// Not known yet.
const UNSET: i64 = i64::MIN;

/// A clock that is set by the database.
#[derive(Debug)]
pub(super) struct StoreClock {
    origin: Instant,
    /// The database's time in milliseconds when `origin` was.
    offset: AtomicI64,
    latest: AtomicI64,
}

impl StoreClock {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            offset: AtomicI64::new(UNSET),
            latest: AtomicI64::new(UNSET),
        }
    }

    /// It is `now` at the database.
    pub(super) fn set(&self, now: i64) {
        self.offset.store(now - self.elapsed(), Ordering::Relaxed);
    }

    /// The database's time in milliseconds, once it is known.
    pub(super) fn now(&self) -> Option<i64> {
        let offset = self.offset.load(Ordering::Relaxed);
        if offset == UNSET {
            return None;
        }
        let now = offset + self.elapsed();
        Some(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_never_goes_back() {
        let clock = StoreClock::new();
        assert_eq!(clock.now(), None);
        clock.set(1_000_000);
        let first = clock.now().expect("set");
        assert!(first >= 1_000_000);
        clock.set(5_000);
        assert!(clock.now().expect("set") >= first);
        clock.set(2_000_000);
        assert!(clock.now().expect("set") >= 2_000_000);
    }
}
