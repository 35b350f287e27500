//! A small OTLP receiver for tests: it keeps every span that it is sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// For what should take far less.
const DEADLINE: Duration = Duration::from_secs(30);

/// Listens on a port of its own until it is dropped.
pub struct Receiver {
    /// The value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    seen: Seen,
    _server: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Vec<Span>, Vec<u8>)>>);

impl Seen {
    fn lock(&self) -> MutexGuard<'_, (Vec<Span>, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    /// Listen.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let seen = Seen::default();
        let app = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(seen.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Ends with the test; a fault shows as spans that never come.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            endpoint,
            seen,
            _server: server,
        })
    }

    /// The first span of that name; none within half a minute is `None`.
    pub async fn span(&self, name: &str) -> Option<Span> {
        let found = async {
            let mut pause = tokio::time::interval(Duration::from_millis(10));
            loop {
                let span = self
                    .seen
                    .lock()
                    .0
                    .iter()
                    .find(|span| span.name == name)
                    .cloned();
                match span {
                    Some(span) => return span,
                    None => pause.tick().await,
                };
            }
        };
        tokio::time::timeout(DEADLINE, found).await.ok()
    }

    /// Every byte that came, to look for what must not be there.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().1.clone()
    }
}

async fn receive(State(seen): State<Seen>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else {
        return StatusCode::BAD_REQUEST;
    };
    let spans = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans);
    let mut seen = seen.lock();
    seen.0.extend(spans);
    seen.1.extend_from_slice(&body);
    StatusCode::OK
}
