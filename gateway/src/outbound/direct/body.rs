//! The body of an answer, with the connection that it comes on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use super::line::Line;
use super::site::Site;

/// Gives its connection back when it was read to its end; before, dropping it closes the connection.
pub struct DirectBody {
    /// `None` only while it is dropped.
    incoming: Option<Incoming>,
    line: Option<Line>,
    site: Arc<Site>,
}

impl DirectBody {
    pub(super) fn new(incoming: Incoming, line: Line, site: Arc<Site>) -> Self {
        Self {
            incoming: Some(incoming),
            line: Some(line),
            site,
        }
    }
}

impl Body for DirectBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { incoming, line, .. } = self.get_mut();
        let Some(incoming) = incoming else {
            return Poll::Ready(None);
        };
        let mut incoming = Pin::new(incoming);
        if let Poll::Ready(frame) = incoming.as_mut().poll_frame(context) {
            return Poll::Ready(frame);
        }
        if let Some(line) = line {
            line.drive(context);
        }
        incoming.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }
}

impl Drop for DirectBody {
    fn drop(&mut self) {
        drop(self.incoming.take());
        let Some(mut line) = self.line.take() else {
            return;
        };
        // Reads the end, where that has come already, and closes where more would come.
        line.drive(&mut Context::from_waker(Waker::noop()));
        self.site.keep(line);
    }
}
