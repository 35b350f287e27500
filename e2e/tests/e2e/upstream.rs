//! A remote model on loopback: speaks enough of the OpenAI API to be a gateway's provider, and says which model was
//! asked for.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::post,
};
use futures::stream;
use serde_json::{Value, json};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The words of every answer, before the model's name.
pub(crate) const GREETING: [&str; 3] = ["héllo ", "from ", ""];

/// A running upstream; it ends when dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/v1/chat/completions", post(answer));
        let server = TaskTracker::new().spawn(async move {
            // It ends with the test; an error in between shows as failed requests.
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// What a ClawGateway has as `baseURL`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// What an upstream model says.
pub(crate) fn words(model: &str) -> String {
    format!("{}{model}", GREETING.concat())
}

async fn answer(headers: HeaderMap, Json(request): Json<Value>) -> Response {
    let model = request["model"].as_str().unwrap_or_default().to_owned();
    let is_authorized = headers
        .get(AUTHORIZATION)
        .is_some_and(|value| value == "Bearer token-of-the-provider");
    if model == "upstream-big" && !is_authorized {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if request["stream"] == true {
        return streamed(&model).into_response();
    }
    Json(json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": words(&model)}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
    }))
    .into_response()
}

fn streamed(model: &str) -> impl IntoResponse {
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
        .to_string()
    };
    let mut events = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    let words = GREETING.into_iter().filter(|word| !word.is_empty());
    events.extend(
        words
            .chain([model])
            .map(|word| chunk(json!({ "content": word }), Value::Null)),
    );
    events.push(chunk(json!({}), json!("stop")));
    events.push("[DONE]".to_owned());
    let events = events
        .into_iter()
        .map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    Sse::new(stream::iter(events))
}
