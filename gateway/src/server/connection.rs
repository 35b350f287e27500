//! One connection, from its first byte to its last.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::connection_limit::{ConnectionLimit, Counted};
use super::tls::Acceptors;
use crate::AppState;
use crate::auth::PeerCertificate;
use crate::config::SharedRuntime;

/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the handshake to the end of the first request's head, in whatever version of HTTP.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For the head of each HTTP/1.1 request, the silence before it included.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// For all header fields of a request.
const HEAD_LIMIT: usize = 64 << 10;
/// Header fields of a request.
const MOST_HEADERS: usize = 100;
/// Requests at once on an HTTP/2 connection.
const MOST_STREAMS: u32 = 250;
/// Probes of a silent HTTP/2 connection.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// What a plain connection in excess reads; over TLS it is closed, since a handshake costs what we lack.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What all connections share.
#[derive(Clone)]
pub(super) struct Connections {
    app: Router,
    runtime: SharedRuntime,
    limit: ConnectionLimit,
    acceptors: Arc<Acceptors>,
    builder: auto::Builder<TokioExecutor>,
    draining: CancellationToken,
    closing: CancellationToken,
}

impl Connections {
    pub(super) fn new(
        app: Router,
        state: &AppState,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        Ok(Self {
            app,
            runtime: Arc::clone(&state.shared_runtime),
            limit: ConnectionLimit::new(Arc::clone(&state.metrics)),
            acceptors: Arc::new(Acceptors::new(Arc::clone(&state.shared_runtime))?),
            builder: builder(),
            draining: state.shutdown.clone(),
            closing,
        })
    }

    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let (limit, is_tls) = {
            let runtime = self.runtime.load();
            (runtime.limits.max_connections, runtime.tls.is_some())
        };
        let Some(permit) = self.limit.acquire(limit).await else {
            tracing::debug!(%peer, limit, "refused a connection: too many are open (limits.maxConnections)");
            if !is_tls {
                refuse(stream).await;
            }
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "failed to set TCP_NODELAY");
        }
        let stream = Counted::new(stream, permit);
        if is_tls {
            let handshake = async { self.acceptors.current()?.accept(stream).await };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => {
                    let chain = stream.get_ref().1.peer_certificates();
                    let certificate = chain.and_then(PeerCertificate::new).map(Arc::new);
                    self.serve_http(stream, peer, certificate).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        } else {
            self.serve_http(stream, peer, None).await;
        }
    }

    async fn serve_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        certificate: Option<Arc<PeerCertificate>>,
    ) {
        let has_request = Arc::new(AtomicBool::new(false));
        let service = {
            let (app, has_request) = (self.app.clone(), Arc::clone(&has_request));
            hyper::service::service_fn(move |mut request: Request<Incoming>| {
                has_request.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(ConnectInfo(peer));
                if let Some(certificate) = &certificate {
                    request.extensions_mut().insert(Arc::clone(certificate));
                }
                app.clone().oneshot(request.map(Body::new))
            })
        };
        let mut connection = pin!(
            self.builder
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
        );
        let mut first_request = pin!(tokio::time::sleep(FIRST_REQUEST_TIMEOUT));
        let (mut is_draining, mut is_checked) = (false, false);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%peer, error, "a connection ended");
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
                    if !has_request.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(MOST_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .enable_connect_protocol();
    builder
}

async fn refuse(mut stream: TcpStream) {
    // Whether the client hears it is its own matter.
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    })
    .await;
}
