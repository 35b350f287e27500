//! An API that repeats what it was sent, and the key that it came with, in whatever it says. Also a Telegram, and a
//! server that knows no token.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::planted::{ANSWER, PASSWORD, PROMPT};

/// The models that fail, each in its way.
pub(super) const FAILING: [&str; 19] = [
    "status-400",
    "status-401",
    "status-403",
    "status-404",
    "status-408",
    "status-409",
    "status-413",
    "status-422",
    "status-429",
    "status-500",
    "status-503",
    "page",
    "half-json",
    "odd-event",
    "reports",
    "cut",
    "empty",
    "stalls",
    "moved",
];
/// The model that refuses with nothing but the words of its caller, which are for it alone.
pub(super) const REPEATS: &str = "repeats";
/// The one that does so in the middle of an answer.
pub(super) const MURMURS: &str = "murmurs";

pub(super) struct Api {
    pub(super) address: SocketAddr,
    _server: JoinSet<()>,
}

impl Api {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let app = Router::new().fallback(answer);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self {
            address,
            _server: server,
        }
    }
}

async fn answer(uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path();
    if path.starts_with("/bot") {
        return telegram(path);
    }
    if path == "/introspect" {
        return axum::Json(json!({"active": false})).into_response();
    }
    let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let heard = format!("{headers:?} {} {uri}", String::from_utf8_lossy(&body));
    // Gemini's name of the model stands in the path.
    let name = parsed["model"].as_str().map(str::to_owned);
    let name = name.unwrap_or_else(|| {
        let last = path.rsplit('/').next().unwrap_or_default();
        last.split(':').next().unwrap_or_default().to_owned()
    });
    if let Some(status) = name.strip_prefix("status-") {
        return refusal(status.parse().expect("a status"), &heard);
    }
    let half = json!({
        "id": "far-id", "object": "chat.completion.chunk", "created": 1, "model": "far-model",
        "choices": [{"index": 0, "delta": {"content": ANSWER}, "finish_reason": null}],
    });
    match name.as_str() {
        REPEATS => refusal(409, PROMPT),
        "page" => ([("content-type", "text/html")], heard).into_response(),
        "half-json" => ([("content-type", "application/json")], format!("{{\"id\": {heard:?}")).into_response(),
        "odd-event" => events(vec![format!("{{\"choices\": {heard:?}")]),
        "reports" => events(vec![
            half.to_string(),
            json!({"error": {"message": heard, "type": "invalid_request_error", "code": "400"}}).to_string(),
        ]),
        MURMURS => events(vec![
            half.to_string(),
            json!({"error": {"message": PROMPT, "type": "invalid_request_error"}}).to_string(),
        ]),
        "cut" => events(vec![half.to_string()]),
        "empty" => events(vec!["[DONE]".to_owned()]),
        "stalls" => std::future::pending().await,
        "moved" => {
            let place = format!("http://ada:{PASSWORD}@127.0.0.1:9/?heard={PASSWORD}");
            (StatusCode::FOUND, [("location", place)]).into_response()
        }
        _ if path.ends_with("/embeddings") => axum::Json(json!({
            "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }))
        .into_response(),
        _ if parsed["stream"] == true => {
            let last = json!({
                "id": "far-id", "object": "chat.completion.chunk", "created": 1, "model": "far-model",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            });
            events(vec![half.to_string(), last.to_string(), "[DONE]".to_owned()])
        }
        _ => axum::Json(json!({
            "id": "far-id", "object": "chat.completion", "created": 1, "model": "far-model",
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": ANSWER}, "text": ANSWER, "finish_reason": "stop",
            }],
        }))
        .into_response(),
    }
}

fn refusal(status: u16, words: &str) -> Response {
    let error = json!({"error": {
        "message": format!("wrong: {words}"), "type": words, "param": words, "code": words, "status": words,
    }});
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(error)).into_response()
}

fn events(events: Vec<String>) -> Response {
    let events = stream::iter(events)
        .map(|event| Ok::<_, std::convert::Infallible>(format!("data: {event}\n\n")));
    let kind = [("content-type", "text/event-stream")];
    (kind, Body::from_stream(events)).into_response()
}

/// It knows the bot, and sends nothing for it.
fn telegram(path: &str) -> Response {
    let answer = if path.ends_with("/getMe") {
        json!({"ok": true, "result": {"id": 99, "is_bot": true, "first_name": "Desk", "username": "Helpdesk_Bot"}})
    } else {
        json!({"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"})
    };
    axum::Json(answer).into_response()
}
