//! A connection that speaks HTTP/1.1.
//!
//! Between two requests it is parked: of all its memory, what the socket needs is kept, and it is served again when its
//! client sends something. Clients keep many connections open, and most of those wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::client_stream::{ClientStream, Socket};
use super::connection::{Connections, HEAD_LIMIT, Peer};
use super::watch::{HEAD_TIMEOUT, Sight, Watch};

/// How often it is looked whether a connection waits: it is parked after one to two of these. Long beside what taking
/// it up again costs, some microseconds; short, so that many clients that come together need no memory at a time.
const IDLE_CHECK: Duration = Duration::from_millis(250);

/// What befalls a connection from outside.
enum Event {
    Closing,
    Draining,
    /// It is time to look whether it waits.
    Check,
}

/// Header fields are at most 100, which hyper has room for; a limit that is set costs it a copy of that room.
pub(super) fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Watch` has the time of heads.
        .header_read_timeout(None)
        .max_buf_size(HEAD_LIMIT);
    builder
}

impl Connections {
    /// Serve to the end, or until the connection waits for its next request.
    async fn serve_http1<S: Socket>(self, mut stream: ClientStream<S>, peer: Peer) {
        let activity = Arc::clone(&stream.activity);
        let mut watch = Watch::begin(&activity, Instant::now());
        loop {
            let service = self.service(&activity, &peer);
            let io = TokioIo::new(stream);
            let mut connection = self.http1.serve_connection(io, service).with_upgrades();
            // Looked at when one of them has come rather than with every byte.
            let mut events = FuturesUnordered::from_iter([self.event(false)]);
            loop {
                let event = tokio::select! {
                    biased;
                    result = &mut connection => {
                        if let Err(error) = result {
                            tracing::debug!(peer = %peer.address, %error, "a connection ended");
                        }
                        return;
                    }
                    Some(event) = events.next() => event,
                };
                match event {
                    Event::Closing => return,
                    // Lets the request under way finish, and then closes.
                    Event::Draining => {
                        Pin::new(&mut connection).graceful_shutdown();
                        events.push(self.event(true));
                    }
                    Event::Check => match watch.look(&activity, Instant::now()) {
                        Sight::Active => events.push(self.event(false)),
                        Sight::Waiting => break,
                        Sight::Stalled => {
                            tracing::debug!(peer = %peer.address, "a request's head took too long");
                            return;
                        }
                    },
                }
            }
            // After an upgrade, the stream belongs to somebody else.
            let Some(parts) = connection.into_parts() else {
                return;
            };
            stream = parts.io.into_inner();
            if parts.read_buf.is_empty() && stream.prefix.is_empty() {
                self.park(stream, peer);
                return;
            }
            // The beginning of a request came together with the one before.
            stream.prefix = joined(parts.read_buf, &stream.prefix);
        }
    }

    /// What comes next; a connection that is draining is not looked at any more.
    async fn event(&self, is_draining: bool) -> Event {
        tokio::select! {
            () = self.closing.cancelled() => Event::Closing,
            () = self.draining.cancelled(), if !is_draining => Event::Draining,
            () = tokio::time::sleep(IDLE_CHECK), if !is_draining => Event::Check,
        }
    }

    fn park<S: Socket>(&self, stream: ClientStream<S>, peer: Peer) {
        let connections = self.clone();
        self.tasks
            .spawn(async move { connections.wait(stream, peer).await });
    }

    /// Until the client sends something, or has been silent for too long.
    async fn wait<S: Socket>(self, stream: ClientStream<S>, peer: Peer) {
        self.metrics.idle_connections.inc();
        let is_heard = tokio::select! {
            // Not `readable`, which would leave in place whom the socket woke before: a task that is over, whose memory
            // would be kept as long.
            result = poll_fn(|context| stream.tcp().poll_read_ready(context)) => result.is_ok(),
            () = self.draining.cancelled() => false,
            () = tokio::time::sleep(HEAD_TIMEOUT) => false,
        };
        self.metrics.idle_connections.dec();
        if is_heard {
            self.spawn_http1(stream, peer);
        }
    }

    /// Serve in a task of its own, which is no larger than that needs.
    pub(super) fn spawn_http1<S: Socket>(&self, stream: ClientStream<S>, peer: Peer) {
        let connections = self.clone();
        self.tasks
            .spawn(async move { connections.serve_http1(stream, peer).await });
    }
}

fn joined(first: Bytes, then: &Bytes) -> Bytes {
    if then.is_empty() {
        return first;
    }
    let mut all = BytesMut::from(first);
    all.extend_from_slice(then);
    all.freeze()
}
