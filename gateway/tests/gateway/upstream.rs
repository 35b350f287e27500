//! An OpenAI-compatible API that behaves as the model's name says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A body and the credential that came with it.
type Request = (Value, Option<String>);

/// What the API has seen.
#[derive(Clone)]
struct Seen {
    requests: Arc<Mutex<Vec<Request>>>,
    /// Streams whose client left before their end.
    abandoned: watch::Sender<usize>,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Seen,
    _server: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Seen {
            requests: Arc::default(),
            abandoned: watch::Sender::new(0),
        };
        let app = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(seen.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self {
            address,
            seen,
            _server: server,
        }
    }

    /// `--model NAME=URL` for each name.
    pub(crate) fn models(&self, names: &[&str]) -> Vec<String> {
        names
            .iter()
            .flat_map(|name| {
                [
                    "--model".to_owned(),
                    format!("{name}=http://{}/v1", self.address),
                ]
            })
            .collect()
    }

    /// The bodies received, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.seen
            .requests
            .lock()
            .expect("not poisoned")
            .iter()
            .map(|(body, _)| body.clone())
            .collect()
    }

    /// The credentials received, in order.
    pub(crate) fn credentials(&self) -> Vec<Option<String>> {
        self.seen
            .requests
            .lock()
            .expect("not poisoned")
            .iter()
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// Wait until a client left in the middle of a stream.
    pub(crate) async fn until_abandoned(&self) {
        let mut abandoned = self.seen.abandoned.subscribe();
        let left = abandoned.wait_for(|count| *count > 0);
        tokio::time::timeout(Duration::from_secs(10), left)
            .await
            .expect("the client leaves in time")
            .expect("alive");
    }
}

async fn answer(
    State(seen): State<Seen>,
    headers: http::HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers
        .get("authorization")
        .map(|value| value.to_str().expect("text").to_owned());
    let name = body["model"].as_str().unwrap_or_default().to_owned();
    let is_first = {
        let mut requests = seen.requests.lock().expect("not poisoned");
        requests.push((body.clone(), key));
        requests
            .iter()
            .filter(|(body, _)| body["model"] == name.as_str())
            .count()
            == 1
    };
    let streams = body["stream"] == true;
    match name.as_str() {
        "refuses" => error(401, "wrong key"),
        "busy" => ([("retry-after", "7")], error(429, "too many")).into_response(),
        "broken" => error(500, "oops"),
        "heals" if is_first => error(503, "not yet"),
        "back-soon" if is_first => ([("retry-after", "1")], error(429, "wait")).into_response(),
        "locked" if is_first => error(409, "somebody else writes"),
        "missing" => error(404, "no such model"),
        "moved" => (http::StatusCode::FOUND, [("location", "http://127.0.0.1:9/")]).into_response(),
        "picky" => error(422, "temperature and top_p cannot both be set"),
        "garbage" => "<html>welcome</html>".into_response(),
        "slow" => std::future::pending().await,
        "empty" => events(stream::iter([role(), done()])),
        "cut" => events(stream::iter([role(), text("half")])),
        "stalls" => events(stream::iter([text("half")]).chain(stream::pending())),
        "drips" => events(drip(Abandoned { seen, is_over: false })),
        _ if streams => events(stream::iter([role(), text("He"), text("l"), text("l"), text("o"), finish(), usage(), done()])),
        _ => Json(json!({
            "id": "far-id", "object": "chat.completion", "created": 1, "model": "far-model", "novel": true,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }))
        .into_response(),
    }
}

fn error(status: u16, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "far_error", "param": null, "code": "far_code"}});
    (
        http::StatusCode::from_u16(status).expect("a status"),
        Json(body),
    )
        .into_response()
}

fn events(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(
        events.map(|event| Ok::<_, Infallible>(Bytes::from(format!("data: {event}\n\n")))),
    );
    ([("content-type", "text/event-stream; charset=utf-8")], body).into_response()
}

fn chunk(delta: &Value, finish_reason: Option<&str>) -> String {
    json!({
        "id": "far-id", "object": "chat.completion.chunk", "created": 1, "model": "far-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    })
    .to_string()
}

fn role() -> String {
    chunk(&json!({"role": "assistant", "content": ""}), None)
}

fn text(text: &str) -> String {
    chunk(&json!({"content": text}), None)
}

fn finish() -> String {
    chunk(&json!({}), Some("stop"))
}

fn usage() -> String {
    json!({"id": "far-id", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
        .to_string()
}

fn done() -> String {
    "[DONE]".to_owned()
}

/// Forty pieces over two seconds.
fn drip(guard: Abandoned) -> impl Stream<Item = String> {
    stream::unfold((guard, 0), |(mut guard, count)| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let item = match count {
            0..40 => text("x"),
            40 => finish(),
            41 => {
                guard.is_over = true;
                done()
            }
            _ => return None,
        };
        Some((item, (guard, count + 1)))
    })
}

struct Abandoned {
    seen: Seen,
    is_over: bool,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if !self.is_over {
            self.seen.abandoned.send_modify(|count| *count += 1);
        }
    }
}
