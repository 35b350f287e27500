//! How many of a model's requests may be repetitions. Without a bound, clients that try three times make an outage three
//! times as heavy, and keep it going.
//!
//! As Envoy's retry budget (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/circuit_breaker.proto>):
//! a share of what is under way, and a few always, so that a model with little traffic is asked again, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of so many requests that wait for a model may be a repetition: 20 %.
const ONE_OF: usize = 5;
/// And so many always.
const FLOOR: usize = 3;

/// The requests that wait for a model's first content, or for its whole answer, and the repetitions among them.
#[derive(Debug, Default)]
pub struct RetryBudget {
    waiting: AtomicUsize,
    repetitions: AtomicUsize,
}

/// A request that waits.
pub(crate) struct Waiting(Arc<RetryBudget>);

/// A repetition, from the pause before it to its outcome.
pub(crate) struct Repetition(Arc<RetryBudget>);

impl RetryBudget {
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }

    /// A repetition, unless there are too many.
    pub(crate) fn repeat(self: &Arc<Self>) -> Option<Repetition> {
        let most = (self.waiting.load(Ordering::Relaxed) / ONE_OF).max(FLOOR);
        let more = |now| (now < most).then_some(now + 1);
        self.repetitions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Repetition(Arc::clone(self)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Repetition {
    fn drop(&mut self) {
        self.0.repetitions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &Arc<RetryBudget>) -> Vec<Repetition> {
        std::iter::from_fn(|| budget.repeat()).collect()
    }

    #[test]
    fn three_are_always_granted() {
        let budget = Arc::default();
        let repetitions = granted(&budget);
        assert_eq!(repetitions.len(), 3);
        drop(repetitions);
        assert_eq!(granted(&budget).len(), 3, "they come back");
    }

    #[test]
    fn of_many_requests_a_fifth() {
        let budget = Arc::default();
        let waiting: Vec<_> = (0..100).map(|_| RetryBudget::wait(&budget)).collect();
        assert_eq!(granted(&budget).len(), 20);
        drop(waiting);
        assert_eq!(granted(&budget).len(), 3);
    }
}
