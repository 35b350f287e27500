//! A place that is called, and its connections.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::IDLE_TIMEOUT;
use super::body::DirectBody;
use super::line::Line;
use crate::outbound::resolver::GuardedResolver;
use crate::outbound::{CONNECT_TIMEOUT, SendError, USER_AGENT as OURS};

pub(in crate::outbound) struct Site {
    resolver: Arc<GuardedResolver>,
    host: Host,
    port: u16,
    /// Of each request.
    path: Uri,
    host_header: HeaderValue,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

impl Site {
    /// Of a URL without TLS and without a password.
    pub(super) fn new(url: &Url, resolver: &Arc<GuardedResolver>) -> Option<Self> {
        let is_plain =
            url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        let host = url.host().filter(|_| is_plain)?.to_owned();
        let host_header = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Some(Self {
            resolver: Arc::clone(resolver),
            host,
            port: url.port_or_known_default()?,
            path: url[url::Position::BeforePath..url::Position::AfterQuery]
                .parse()
                .ok()?,
            host_header: HeaderValue::from_str(&host_header).ok()?,
            idle: Mutex::default(),
        })
    }

    pub(super) fn request(&self, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host_header.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(OURS));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        request
    }

    pub(super) fn answer(
        self: &Arc<Self>,
        response: Response<Incoming>,
        line: Line,
    ) -> Response<DirectBody> {
        response.map(|incoming| DirectBody::new(incoming, line, Arc::clone(self)))
    }

    /// A connection that was used before and is still open, the last one first.
    pub(super) async fn idle_line(&self) -> Option<Line> {
        loop {
            let Idle { mut line, since } = self.lock().pop()?;
            if since.elapsed() >= IDLE_TIMEOUT {
                continue;
            }
            // Notices whether it was closed in the meantime.
            poll_fn(|context| {
                line.drive(context);
                Poll::Ready(())
            })
            .await;
            if line.is_ready() {
                return Some(line);
            }
        }
    }

    /// For the next request, if it can take one.
    pub(super) fn keep(&self, line: Line) {
        if line.is_ready() {
            let since = Instant::now();
            self.lock().push(Idle { line, since });
        }
    }

    /// Close what nobody has used for long; whether the place is still in use.
    pub(super) fn close_idle(&self, shared: &Arc<Self>) -> bool {
        let mut idle = self.lock();
        idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
        !idle.is_empty() || Arc::strong_count(shared) > 1
    }

    /// A new connection, to an address that the rules allow.
    pub(super) async fn connect(&self) -> Result<Line, SendError> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let stream = opened.map_err(|_| SendError::Connect {
            host: self.host.to_string(),
            source: io::ErrorKind::TimedOut.into(),
        })??;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        Line::begin(stream).await.map_err(SendError::Exchange)
    }

    async fn open(&self) -> Result<TcpStream, SendError> {
        let addresses = match &self.host {
            // Checked when the place was first called.
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => self
                .resolver
                .allowed(name)
                .await
                .map_err(SendError::Lookup)?,
        };
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect((address, self.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(SendError::Connect {
            host: self.host.to_string(),
            source: failure,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        // As above.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
