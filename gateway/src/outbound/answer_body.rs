//! The body of an answer, from whichever client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::SendError;
use super::direct::DirectBody;

/// What an API answers. Dropped before its end, it closes the connection.
pub enum AnswerBody {
    /// By plain HTTP/1.1.
    Direct(DirectBody),
    /// By TLS, and what else there is.
    Client(reqwest::Body),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match self.get_mut() {
            Self::Direct(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(SendError::Exchange),
            Self::Client(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(SendError::Client),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Direct(body) => body.is_end_stream(),
            Self::Client(body) => body.is_end_stream(),
        }
    }
}
