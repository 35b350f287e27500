//! How long somebody has been waited for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Ends a wait that takes too long. One timer for all waits, set anew only when it rings: most waits are over long before.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    limit: Duration,
    /// Since when somebody waits.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// For waits of at most `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            sleep: None,
        }
    }

    /// The longest wait.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// The wait is over.
    pub(crate) fn rest(&mut self) {
        self.since = None;
    }

    /// Ready once the wait, which begins with the first call, has taken too long.
    pub(crate) fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(end) = since.checked_add(self.limit) else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn only_a_wait_without_end_is_too_long() {
        let mut timer = IdleTimer::new(LIMIT);
        for _ in 0..5 {
            let wait = poll_fn(|context| timer.poll_passed(context));
            let outcome = tokio::time::timeout(Duration::from_secs(50), wait).await;
            outcome.expect_err("not yet");
            timer.rest();
        }
        let started = Instant::now();
        poll_fn(|context| timer.poll_passed(context)).await;
        assert_eq!(started.elapsed(), LIMIT);
    }
}
