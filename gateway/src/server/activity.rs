//! Whether a connection has anything to do.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// Of one connection. Only the task that serves it reads this, so no order has to be kept with other memory.
#[derive(Default)]
pub(super) struct Activity {
    /// Requests without the last byte of their answer.
    under_way: AtomicUsize,
    /// All requests so far.
    begun: AtomicUsize,
    /// Whether the client takes no more bytes for now.
    is_blocked: AtomicBool,
    /// Whether bytes came after the last answer: a request has begun that is not known yet.
    has_heard: AtomicBool,
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Relaxed);
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(Arc::clone(self))
    }

    pub(super) fn begun(&self) -> usize {
        self.begun.load(Relaxed)
    }

    /// A request is not answered, or bytes of an answer are not taken.
    pub(super) fn is_answering(&self) -> bool {
        self.under_way.load(Relaxed) > 0 || self.is_blocked.load(Relaxed)
    }

    /// Every request is answered, every byte of the answers is sent, and nothing came since.
    pub(super) fn is_over(&self) -> bool {
        !self.is_answering() && !self.has_heard.load(Relaxed)
    }

    pub(super) fn read(&self) {
        self.has_heard.store(true, Relaxed);
    }

    pub(super) fn wrote(&self, is_taken: bool) {
        self.is_blocked.store(!is_taken, Relaxed);
    }
}

/// A request that is not over.
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
        self.0.has_heard.store(false, Relaxed);
    }
}

/// The body of an answer: with its end, its request is over.
pub(super) struct LastOf<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B> LastOf<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        Self {
            body,
            _under_way: under_way,
        }
    }
}

impl<B: Body + Unpin> Body for LastOf<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_between_its_requests() {
        let activity = Arc::<Activity>::default();
        assert!(activity.is_over());
        let answer = LastOf::new(axum::body::Body::empty(), activity.begin());
        assert!(!activity.is_over());
        activity.wrote(false);
        drop(answer);
        assert!(!activity.is_over(), "its answer is still to be sent");
        activity.wrote(true);
        assert!(activity.is_over());
        activity.read();
        assert!(!activity.is_over(), "the next request begins");
        assert_eq!(activity.begun(), 1);
    }
}
