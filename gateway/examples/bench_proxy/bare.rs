//! What the gateway's HTTP library takes when it does nothing but pass on what comes.
//!
//! One thread, one connection to the API for each request under way, no duties. What the gateway is slower is its own.
#![expect(
    clippy::disallowed_methods,
    reason = "it ends with its process, whatever is under way"
)]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Connections to the API that wait for a request.
type Idle = Arc<Mutex<Vec<SendRequest<Incoming>>>>;

/// The body of an answer; with it, its connection is free.
struct Answer {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    idle: Idle,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.idle.lock().unwrap().push(sender);
        }
    }
}

async fn free(idle: &Idle, upstream: SocketAddr) -> hyper::Result<SendRequest<Incoming>> {
    loop {
        let waiting = idle.lock().unwrap().pop();
        let Some(mut sender) = waiting else {
            break;
        };
        if sender.is_ready() || sender.ready().await.is_ok() {
            return Ok(sender);
        }
    }
    let stream = TcpStream::connect(upstream).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn pass_on(
    mut request: Request<Incoming>,
    idle: Idle,
    upstream: SocketAddr,
) -> hyper::Result<Response<Answer>> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    let mut sender = free(&idle, upstream).await?;
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Answer {
        body,
        sender: Some(sender),
        idle,
    }))
}

/// Serve for ever.
pub(crate) async fn serve(address: SocketAddr, upstream: SocketAddr) -> std::io::Result<()> {
    let idle = Idle::default();
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let idle = Arc::clone(&idle);
        let service = service_fn(move |request| pass_on(request, Arc::clone(&idle), upstream));
        let connection = Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}
