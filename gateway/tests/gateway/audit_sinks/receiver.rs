//! A receiver of JSON lines and of OTLP logs over HTTP, which can be made to refuse.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) struct HttpReceiver {
    address: SocketAddr,
    state: Arc<Inbox>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Inbox {
    authorization: Option<String>,
    /// 0 takes everything.
    refusal: AtomicU16,
    /// Bytes of a body; 0 takes every size.
    limit: AtomicUsize,
    lines: Mutex<Vec<Value>>,
    logs: Mutex<Vec<LogRecord>>,
}

impl HttpReceiver {
    pub(crate) async fn start(token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Inbox {
            authorization: token.map(|token| format!("Bearer {token}")),
            ..Inbox::default()
        });
        let app = Router::new()
            .route("/", post(lines))
            .route("/ingest", post(lines))
            .route("/v1/logs", post(logs))
            .with_state(Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self {
            address,
            state,
            _server: server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn refuse(&self, status: u16) {
        self.state.refusal.store(status, Ordering::SeqCst);
    }

    pub(crate) fn take(&self) {
        self.refuse(0);
    }

    pub(crate) fn limit(&self, bytes: usize) {
        self.state.limit.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn records(&self) -> Vec<Value> {
        self.state.lines().clone()
    }

    /// One with that action.
    pub(crate) fn log(&self, action: &str) -> Option<LogRecord> {
        let name = format!("claw.audit.{action}");
        let logs = self.state.logs.lock();
        let logs = logs.unwrap_or_else(PoisonError::into_inner);
        logs.iter().find(|log| log.event_name == name).cloned()
    }
}

impl Inbox {
    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Value>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, headers: &HeaderMap, body: &Bytes) -> Result<(), StatusCode> {
        let given = headers.get("authorization");
        let given = given.and_then(|value| value.to_str().ok());
        let limit = self.limit.load(Ordering::SeqCst);
        if given != self.authorization.as_deref() {
            return Err(StatusCode::UNAUTHORIZED);
        }
        if limit > 0 && body.len() > limit {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        match StatusCode::from_u16(self.refusal.load(Ordering::SeqCst)) {
            Ok(status) => Err(status),
            // 0 is none.
            Err(_) => Ok(()),
        }
    }
}

async fn lines(
    State(inbox): State<Arc<Inbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(), StatusCode> {
    inbox.admit(&headers, &body)?;
    assert_eq!(headers["content-type"], "application/x-ndjson");
    let text = std::str::from_utf8(&body).expect("UTF-8");
    let records = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    inbox.lines().extend(records);
    Ok(())
}

async fn logs(
    State(inbox): State<Arc<Inbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    inbox.admit(&headers, &body)?;
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportLogsServiceRequest::decode(body).expect("a request");
    let logs: Vec<LogRecord> = request
        .resource_logs
        .into_iter()
        .flat_map(|resource| resource.scope_logs)
        .flat_map(|scope| scope.log_records)
        .collect();
    let records = logs.iter().map(|log| {
        let body = log.body.as_ref().and_then(|body| body.value.as_ref());
        let Some(Any::StringValue(line)) = body else {
            panic!("{body:?} is no text");
        };
        serde_json::from_str(line).expect("JSON")
    });
    inbox.lines().extend(records);
    let mut kept = inbox.logs.lock().unwrap_or_else(PoisonError::into_inner);
    kept.extend(logs);
    Ok(Vec::new())
}
