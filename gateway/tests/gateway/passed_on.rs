//! Completions of a text, vectors and rankings of remote APIs.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::binary::{Binary, events};

pub(crate) type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// An API that serves what its path says, but `down`.
pub(crate) struct Api {
    pub(crate) seen: Seen,
    pub(crate) arguments: Vec<String>,
    _server: JoinSet<()>,
}

impl Api {
    pub(crate) async fn start(names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Seen::default();
        let app = Router::new()
            .route("/v1/{task}", post(answer))
            .with_state(Arc::clone(&seen));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        let models = names
            .iter()
            .flat_map(|name| ["--model".to_owned(), format!("{name}=http://{address}/v1")]);
        Self {
            seen,
            arguments: models.collect(),
            _server: server,
        }
    }

    async fn gateway(&self) -> Binary {
        Binary::start(&self.arguments).await
    }
}

async fn answer(State(seen): State<Seen>, uri: http::Uri, Json(body): Json<Value>) -> Response {
    seen.lock()
        .expect("not poisoned")
        .push((uri.path().to_owned(), body.clone()));
    if body["model"] == "down" {
        return http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if body["model"] == "odd" {
        return Json(json!({"object": "list"})).into_response();
    }
    match uri.path() {
        "/v1/embeddings" => Json(json!({
            "object": "list", "model": "far", "novel": 1,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.002_306_425_5, -1.0]}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }))
        .into_response(),
        "/v1/rerank" => Json(json!({
            "id": "r-1", "model": "far", "usage": {"total_tokens": 9},
            "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
        }))
        .into_response(),
        _ if body["stream"] == true => {
            let piece = |text: &str, reason: Option<&str>| {
                json!({"id": "c", "object": "text_completion", "created": 1, "model": "far",
                       "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}]})
            };
            let usage = json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
            let body = [
                piece("", None),
                piece("Hel", None),
                piece("lo", Some("stop")),
                usage,
            ]
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .chain(["data: [DONE]\n\n".to_owned()])
            .collect::<String>();
            ([("content-type", "text/event-stream")], body).into_response()
        }
        _ => Json(json!({
            "id": "c", "object": "text_completion", "created": 1, "model": "far",
            "choices": [{"index": 0, "text": "Hello", "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }))
        .into_response(),
    }
}

#[tokio::test]
async fn vectors_pass_as_they_came_and_are_counted() {
    let api = Api::start(&["embed"]).await;
    let gateway = api.gateway().await;
    let body = json!({"model": "embed", "input": ["a", "b"], "dimensions": 2, "novel": {"x": 1}});
    let (status, answer) = gateway.ask("/v1/embeddings", &body).await;
    assert_eq!(
        (status, &answer),
        (
            200,
            &json!({
                "object": "list", "model": "embed", "novel": 1,
                "data": [{"object": "embedding", "index": 0, "embedding": [0.002_306_425_5, -1.0]}],
                "usage": {"prompt_tokens": 8, "total_tokens": 8},
            })
        )
    );
    assert_eq!(
        *api.seen.lock().expect("not poisoned"),
        [("/v1/embeddings".to_owned(), body)]
    );
    let (_, metrics) = gateway.managed("/metrics").await;
    assert!(
        metrics.contains(r#"claw_gateway_tokens_total{model="embed",kind="prompt"} 8"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(
            r#"claw_gateway_requests_total{handler="embeddings",model="embed",status="200"} 1"#
        ),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_ranking_passes_and_its_tokens_are_the_prompts() {
    let api = Api::start(&["rank"]).await;
    let gateway = api.gateway().await;
    let body =
        json!({"model": "rank", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2});
    let (status, answer) = gateway.ask("/v1/rerank", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["results"][0]["index"], 1);
    assert_eq!(answer["model"], "rank");
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 9, "total_tokens": 9})
    );
}

#[tokio::test]
async fn a_text_is_gone_on_with_also_in_pieces() {
    let api = Api::start(&["write"]).await;
    let gateway = api.gateway().await;
    let mut body = json!({"model": "write", "prompt": "Say", "n": 1, "best_of": 2, "logprobs": 1});
    let (status, answer) = gateway.ask("/v1/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["choices"],
        json!([{"index": 0, "text": "Hello", "logprobs": null, "finish_reason": "stop"}])
    );
    assert_eq!(answer["usage"]["total_tokens"], 5);
    assert_eq!(api.seen.lock().expect("not poisoned")[0].1, body);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let response = gateway
        .chat("/v1/completions", &body)
        .send()
        .await
        .expect("an answer");
    let events = events(response).await;
    let (done, pieces) = events.split_last().expect("events");
    let pieces: Vec<Value> = pieces
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    let said: String = pieces
        .iter()
        .filter_map(|piece| piece["choices"][0]["text"].as_str())
        .collect();
    assert_eq!((said.as_str(), done.as_str()), ("Hello", "[DONE]"));
    assert!(pieces.iter().all(|piece| piece["model"] == "write"));
    assert_eq!(pieces.last().expect("pieces")["usage"]["total_tokens"], 5);
}

#[tokio::test]
async fn an_api_that_fails_or_answers_something_else_is_replaced_by_the_next() {
    let api = Api::start(&["down", "odd", "good"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    std::fs::write(
        &routes,
        "routes: [{pattern: ^/v1/embeddings$, model: down, fallback: good}, {pattern: ^/v1/rerank$, model: odd, fallback: good}]",
    )
    .expect("written");
    let mut arguments = api.arguments.clone();
    arguments.extend(["--routes".to_owned(), routes.display().to_string()]);
    let gateway = Binary::start_in(folder, &arguments).await;
    let (status, answer) = gateway.ask("/v1/embeddings", &json!({"input": "a"})).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("good")),
        "{answer}"
    );
    let rank = json!({"query": "q", "documents": ["a"]});
    let (status, answer) = gateway.ask("/v1/rerank", &rank).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("good")),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let api = Api::start(&["any"]).await;
    let gateway = api.gateway().await;
    for (path, body, field) in [
        ("/v1/completions", json!({"model": "any"}), "prompt"),
        (
            "/v1/embeddings",
            json!({"model": "any", "input": []}),
            "input",
        ),
        (
            "/v1/rerank",
            json!({"model": "any", "query": "q"}),
            "documents",
        ),
        ("/v1/embeddings", json!({"input": "a"}), "model"),
    ] {
        let (status, error) = gateway.ask(path, &body).await;
        assert_eq!((status, &error["error"]["param"]), (400, &json!(field)));
    }
    assert!(api.seen.lock().expect("not poisoned").is_empty());
}
