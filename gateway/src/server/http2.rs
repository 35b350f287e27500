//! A connection that speaks HTTP/2.

use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use std::sync::Arc;

use super::client_stream::{ClientStream, Socket};
use super::connection::{Connections, FIRST_REQUEST_TIMEOUT, HEAD_LIMIT, Peer};

/// Requests at once.
const MOST_STREAMS: u32 = 250;
/// Probes of a silent connection.
const PING_INTERVAL: Duration = Duration::from_secs(30);

pub(super) fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .enable_connect_protocol();
    builder
}

impl Connections {
    /// Serve in a task of its own, which is no larger than that needs.
    pub(super) fn spawn_http2<S: Socket>(&self, stream: ClientStream<S>, peer: Peer) {
        let connections = self.clone();
        self.tasks
            .spawn(async move { connections.serve_http2(stream, peer).await });
    }

    async fn serve_http2<S: Socket>(self, stream: ClientStream<S>, peer: Peer) {
        let activity = Arc::clone(&stream.activity);
        let service = self.service(&activity, &peer);
        let connection = self.http2.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut first_request = pin!(tokio::time::sleep(FIRST_REQUEST_TIMEOUT));
        let (mut is_draining, mut is_checked) = (false, false);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(peer = %peer.address, %error, "a connection ended");
                    }
                    return;
                }
                () = self.closing.cancelled() => return,
                // Lets the requests under way finish, and then closes.
                () = self.draining.cancelled(), if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = &mut first_request, if !is_checked => {
                    is_checked = true;
                    if activity.begun() == 0 {
                        return;
                    }
                }
            }
        }
    }
}
