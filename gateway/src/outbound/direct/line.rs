//! One connection, driven by whoever uses it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::turn::InTurn;

type Body = Full<Bytes>;

pub(super) struct Line {
    sender: SendRequest<Body>,
    connection: Pin<Box<Connection<TokioIo<InTurn<TcpStream>>, Body>>>,
    is_closed: bool,
}

impl Line {
    pub(super) async fn begin(stream: TcpStream) -> hyper::Result<Self> {
        let io = TokioIo::new(InTurn::new(stream));
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            is_closed: false,
        })
    }

    /// Let the connection read and write what it can. How it ends, the answer tells.
    pub(super) fn drive(&mut self, context: &mut Context<'_>) {
        self.is_closed = self.is_closed || self.connection.as_mut().poll(context).is_ready();
    }

    /// Whether it takes a request.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_closed && self.sender.is_ready()
    }

    /// Up to the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut sent = pin!(self.sender.try_send_request(request));
        let (connection, is_closed) = (&mut self.connection, &mut self.is_closed);
        poll_fn(|context| {
            *is_closed = *is_closed || connection.as_mut().poll(context).is_ready();
            match sent.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(outcome),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
