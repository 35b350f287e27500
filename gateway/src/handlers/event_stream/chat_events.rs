//! The body of a streamed chat completion: whatever is there goes out at once, in one frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use bytes::{BufMut as _, BytesMut};
use hyper::body::{Body, Frame};

use super::{json, tell};
use crate::conversion::TextShape;
use crate::dispatch::{ChunkStream, HELD_KEEP_ALIVE, Held};
use crate::error::{ErrorBody, GatewayError};
use crate::idle_timer::IdleTimer;
use crate::types::{ChatChunk, Said};

/// So much waits for what comes at the same time.
const ENOUGH: usize = 16 << 10;
/// A comment.
const STILL_HERE: &[u8] = b":\n\n";

/// The pieces as events, then either an error or `[DONE]`, never both: a client must not take half an answer for a whole.
pub(super) struct ChatEvents {
    /// `None` after the last piece.
    chunks: Option<ChunkStream>,
    /// Of the last piece, where there is one.
    shape: Option<TextShape>,
    silence: IdleTimer,
    /// Whether the client is told at once what is waited for.
    is_first: bool,
}

impl ChatEvents {
    /// Events, and a comment after each silence of `keep_alive`.
    pub(super) fn new(chunks: ChunkStream, keep_alive: Duration) -> Self {
        let is_held = chunks.waits_for().is_some();
        let keep_alive = if is_held { HELD_KEEP_ALIVE } else { keep_alive };
        Self {
            chunks: Some(chunks),
            shape: None,
            silence: IdleTimer::new(keep_alive),
            is_first: is_held,
        }
    }

    /// The next piece, put down in `out`; nothing after the last one.
    fn poll_event(&mut self, context: &mut Context<'_>, out: &mut BytesMut) -> Poll<Option<()>> {
        let Some(chunks) = &mut self.chunks else {
            return Poll::Ready(None);
        };
        match ready!(chunks.poll_said(context)) {
            Some(Ok(Said::Piece(chunk))) => self.put_piece(&chunk, out),
            Some(Ok(Said::Again(text))) => {
                if let Some(shape) = &self.shape {
                    out.put_slice(b"data: ");
                    shape.write(&text.json, out);
                    out.put_slice(b"\n\n");
                } else {
                    self.chunks = None;
                    put_error(&GatewayError::Internal, out);
                }
            }
            Some(Err(error)) => {
                self.chunks = None;
                put_error(&error, out);
            }
            None => {
                self.chunks = None;
                out.put_slice(b"data: [DONE]\n\n");
            }
        }
        Poll::Ready(Some(()))
    }

    /// That somebody is still here, and what is waited for.
    fn put_comment(&self, out: &mut BytesMut) {
        let held = self.chunks.as_ref().and_then(ChunkStream::waits_for);
        match held.and_then(Held::told) {
            // Names of models and numbers have no line ends.
            Some(words) => {
                for part in [": ", &words, "\n\n"] {
                    out.put_slice(part.as_bytes());
                }
            }
            None => out.put_slice(STILL_HERE),
        }
    }

    fn put_piece(&mut self, chunk: &ChatChunk, out: &mut BytesMut) {
        let data = json(chunk);
        self.shape = TextShape::of(data.as_bytes());
        put(&data, out);
    }
}

/// JSON has no line ends.
fn put(data: &str, out: &mut BytesMut) {
    for part in ["data: ", data, "\n\n"] {
        out.put_slice(part.as_bytes());
    }
}

fn put_error(error: &GatewayError, out: &mut BytesMut) {
    tell(error);
    out.put_slice(b"event: error\n");
    put(&json(&ErrorBody::from(error)), out);
}

impl Body for ChatEvents {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let mut out = BytesMut::new();
        let mut is_over = false;
        while out.len() < ENOUGH {
            match this.poll_event(context, &mut out) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => {
                    is_over = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if out.is_empty() && !is_over {
            if !std::mem::take(&mut this.is_first) && this.silence.poll_passed(context).is_pending()
            {
                return Poll::Pending;
            }
            this.put_comment(&mut out);
        }
        this.silence.rest();
        let frame = (!out.is_empty()).then(|| Ok(Frame::data(out.freeze())));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_none()
    }
}
