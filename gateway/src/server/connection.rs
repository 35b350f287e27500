//! One connection, from its first byte to the version of HTTP that it speaks.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, LastOf};
use super::client_stream::{ClientStream, Socket};
use super::connection_limit::ConnectionLimit;
use super::tls::Acceptors;
use super::{preface, tls};
use crate::AppState;
use crate::auth::PeerCertificate;
use crate::config::SharedRuntime;
use crate::metrics::Metrics;
use crate::router::App;

/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the handshake to the end of the first request's head, in whatever version of HTTP.
pub(super) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For all header fields of a request.
pub(super) const HEAD_LIMIT: usize = 64 << 10;
/// What a plain connection in excess reads; over TLS it is closed, since a handshake costs what we lack.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What all connections share.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

pub(super) struct Shared {
    app: App,
    runtime: SharedRuntime,
    limit: ConnectionLimit,
    acceptors: Acceptors,
    pub(super) metrics: Arc<Metrics>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
    pub(super) tasks: TaskTracker,
    pub(super) draining: CancellationToken,
    pub(super) closing: CancellationToken,
}

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    certificate: Option<Arc<PeerCertificate>>,
}

impl Deref for Connections {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Connections {
    pub(super) fn new(app: App, state: &AppState, closing: CancellationToken) -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            app,
            runtime: Arc::clone(&state.shared_runtime),
            metrics: Arc::clone(&state.metrics),
            limit: ConnectionLimit::new(Arc::clone(&state.metrics)),
            acceptors: Acceptors::new(Arc::clone(&state.shared_runtime))?,
            http1: super::http1::builder(),
            http2: super::http2::builder(),
            tasks: state.tasks.clone(),
            draining: state.shutdown.clone(),
            closing,
        })))
    }

    pub(super) async fn serve(self, stream: TcpStream, address: SocketAddr) {
        let (limit, is_tls) = {
            let runtime = self.runtime.load();
            (runtime.limits.max_connections, runtime.tls.is_some())
        };
        let Some(permit) = self.limit.acquire(limit).await else {
            tracing::debug!(peer = %address, limit, "refused a connection: too many are open (limits.maxConnections)");
            if !is_tls {
                refuse(stream).await;
            }
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(peer = %address, %error, "failed to set TCP_NODELAY");
        }
        if is_tls {
            let handshake = async { self.acceptors.current()?.accept(stream).await };
            match self.unless_closed(HANDSHAKE_TIMEOUT, handshake).await {
                Some(Ok(stream)) => {
                    let (_, session) = stream.get_ref();
                    let is_http2 = session.alpn_protocol() == Some(tls::HTTP2);
                    let chain = session.peer_certificates();
                    let certificate = chain.and_then(PeerCertificate::new).map(Arc::new);
                    let peer = Peer {
                        address,
                        certificate,
                    };
                    let stream = ClientStream::new(stream, Bytes::new(), permit);
                    self.spawn(stream, peer, is_http2);
                }
                Some(Err(error)) => {
                    tracing::debug!(peer = %address, %error, "a TLS handshake failed");
                }
                None => tracing::debug!(peer = %address, "a TLS handshake took too long"),
            }
        } else {
            let mut stream = stream;
            let preface = preface::read(&mut stream);
            let Some(Ok((is_http2, read))) =
                self.unless_closed(FIRST_REQUEST_TIMEOUT, preface).await
            else {
                return;
            };
            let peer = Peer {
                address,
                certificate: None,
            };
            let stream = ClientStream::new(stream, read, permit);
            self.spawn(stream, peer, is_http2);
        }
    }

    fn spawn<S: Socket>(&self, stream: ClientStream<S>, peer: Peer, is_http2: bool) {
        if is_http2 {
            self.spawn_http2(stream, peer);
        } else {
            self.spawn_http1(stream, peer);
        }
    }

    /// What comes before the first request, within its time, and before there is nobody any more to serve it.
    async fn unless_closed<T>(&self, limit: Duration, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = tokio::time::timeout(limit, what) => done.ok(),
            () = self.draining.cancelled() => None,
        }
    }

    /// What answers the requests of one connection.
    pub(super) fn service(
        &self,
        activity: &Arc<Activity>,
        peer: &Peer,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<LastOf<Body>>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<LastOf<Body>>, Infallible>> + Send + use<>,
    > + use<> {
        let (app, activity) = (self.app.clone(), Arc::clone(activity));
        let peer = peer.clone();
        service_fn(move |mut request: Request<Incoming>| {
            let under_way = activity.begin();
            request.extensions_mut().insert(ConnectInfo(peer.address));
            if let Some(certificate) = &peer.certificate {
                request.extensions_mut().insert(Arc::clone(certificate));
            }
            let app = app.clone();
            // The answer begins within: a future that is moved before costs every request its length.
            async move {
                let response = app.answer(request.map(Body::new)).await;
                Ok(response.map(|body| LastOf::new(body, under_way)))
            }
        })
    }
}

async fn refuse(mut stream: TcpStream) {
    // Whether the client hears it is its own matter.
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    })
    .await;
}
