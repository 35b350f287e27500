//! Waiting, behind a seam: tests look at how long would be waited instead of waiting.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

/// Something that waits.
pub trait Pause: Send + Sync + 'static {
    /// Wait for this long.
    fn pause(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// Waits by the clock.
#[derive(Clone, Copy, Debug)]
pub struct TokioPause;

impl Pause for TokioPause {
    fn pause(&self, duration: Duration) -> BoxFuture<'_, ()> {
        tokio::time::sleep(duration).boxed()
    }
}
