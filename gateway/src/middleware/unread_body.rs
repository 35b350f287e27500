//! A body that its handler did not read to the end.
//!
//! Whoever closes a connection with bytes unread resets it: a client that is still sending never sees its answer, and
//! one that sends its next request there sees that one fail. A stream of HTTP/2 that ends unread is reset, too, and many
//! clients then take the answer before it for lost. So whatever a handler leaves is read and thrown away before the
//! answer goes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;

/// As much is thrown away, in bytes.
const MOST_DISCARDED: usize = 32 << 20;
/// And for as long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// A body that goes back to its lender where it is dropped before its end.
pub(super) struct Lent {
    body: Body,
    is_begun: bool,
    lender: Option<oneshot::Sender<Unread>>,
}

struct Unread {
    body: Body,
    /// Whether any of it was asked for.
    is_begun: bool,
}

/// Who gets the body back.
pub(super) struct Lender(oneshot::Receiver<Unread>);

/// Lend a body to those who may not read all of it.
pub(super) fn lend(body: Body) -> (Lent, Lender) {
    let (lender, returned) = oneshot::channel();
    let lent = Lent {
        body,
        is_begun: false,
        lender: Some(lender),
    };
    (lent, Lender(returned))
}

impl Lender {
    /// Read what is left of the body, if anything. False where its end did not come.
    ///
    /// A client that `waits` for leave to send it (`Expect: 100-continue`) is given none.
    pub(super) async fn discard(mut self, waits: bool) -> bool {
        let Ok(Unread { mut body, is_begun }) = self.0.try_recv() else {
            return true;
        };
        if waits && !is_begun {
            return false;
        }
        let to_its_end = async {
            let mut discarded = 0;
            while let Some(piece) = body.frame().await {
                discarded += piece.ok()?.data_ref().map_or(0, Bytes::len);
                if discarded > MOST_DISCARDED {
                    return None;
                }
            }
            Some(())
        };
        let ended = tokio::time::timeout(DISCARD_TIMEOUT, to_its_end).await;
        matches!(ended, Ok(Some(())))
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_begun = true;
        let piece = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if piece.is_none() {
            self.lender = None;
        }
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        if let Some(lender) = self.lender.take() {
            // Who does not wait for it does not want it.
            let body = std::mem::take(&mut self.body);
            let is_begun = self.is_begun;
            let _ = lender.send(Unread { body, is_begun });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn pieces(count: usize) -> Body {
        let piece = Bytes::from(vec![b' '; 1 << 20]);
        let pieces = std::iter::repeat_n(piece, count).map(Ok::<_, Infallible>);
        Body::from_stream(futures::stream::iter(pieces))
    }

    async fn discard(body: Body) -> bool {
        let (lent, lender) = lend(body);
        drop(lent);
        lender.discard(false).await
    }

    #[tokio::test]
    async fn what_is_left_is_read_to_its_end_within_bounds() {
        assert!(discard(pieces(3)).await);
        assert!(!discard(pieces(33)).await, "more than 32 MiB");
    }

    #[tokio::test]
    async fn a_body_that_was_read_leaves_nothing() {
        let (lent, lender) = lend(pieces(2));
        let read = lent.collect().await.expect("a body").to_bytes();
        assert_eq!(read.len(), 2 << 20);
        assert!(lender.discard(true).await);
    }

    #[tokio::test]
    async fn a_client_that_waits_for_leave_gets_its_answer_instead() {
        let (lent, lender) = lend(pieces(1));
        drop(lent);
        assert!(!lender.discard(true).await, "it has sent nothing");

        let (mut lent, lender) = lend(pieces(2));
        lent.frame().await.expect("a piece").expect("a body");
        drop(lent);
        assert!(lender.discard(true).await, "it is sending");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_the_rest_and_not_for_ever() {
        let (send, received) = futures::channel::mpsc::unbounded();
        let (lent, lender) = lend(Body::from_stream(received.map(Ok::<Bytes, Infallible>)));
        drop(lent);
        let mut discarding = Box::pin(lender.discard(false));
        assert!(discarding.as_mut().now_or_never().is_none());
        drop(send);
        assert!(discarding.await, "it came to its end");

        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>());
        let start = tokio::time::Instant::now();
        assert!(!discard(silent).await);
        assert_eq!(start.elapsed(), DISCARD_TIMEOUT);
    }
}
