//! Providers of several dialects: what they get, and what callers see of it.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::binary::{Binary, chat, events, said, stream};

/// What an API got.
#[derive(Clone, Debug)]
struct Request {
    uri: String,
    headers: HeaderMap,
    body: Value,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Request>>>);

/// An API that speaks every dialect, and judges keys by what they are called.
struct Api {
    address: SocketAddr,
    seen: Seen,
    _server: JoinSet<()>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Seen::default();
        let app = Router::new().fallback(answer).with_state(seen.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self {
            address,
            seen,
            _server: server,
        }
    }

    fn requests(&self) -> Vec<Request> {
        self.seen.0.lock().expect("not poisoned").clone()
    }

    /// The keys that were sent as bearer tokens, in order.
    fn keys(&self) -> Vec<String> {
        let requests = self.requests();
        let keys = requests.iter().map(|request| {
            let value = request.headers["authorization"].to_str().expect("text");
            value.trim_start_matches("Bearer ").to_owned()
        });
        keys.collect()
    }
}

async fn answer(State(seen): State<Seen>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let key = headers
        .get("authorization")
        .map(|value| value.to_str().expect("text").to_owned())
        .unwrap_or_default();
    let (uri, is_streamed) = (uri.to_string(), body["stream"] == true);
    seen.0.lock().expect("not poisoned").push(Request {
        uri: uri.clone(),
        headers,
        body,
    });
    let error = || Json(json!({"error": {"message": "no", "type": "far_error"}}));
    if key.contains("refused") {
        return (StatusCode::UNAUTHORIZED, error()).into_response();
    }
    if key.contains("limited") {
        let headers = [("retry-after", "50")];
        return (StatusCode::TOO_MANY_REQUESTS, headers, error()).into_response();
    }
    if uri.contains("streamGenerateContent") {
        return event_stream(&[
            json!({"candidates": [{"content": {"parts": [{"text": "Hel"}]}}], "responseId": "r"}),
            json!({"candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}, "responseId": "r"}),
        ]);
    }
    if uri.contains("generateContent") {
        return Json(json!({
            "candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}, "responseId": "r",
        }))
        .into_response();
    }
    match (uri.contains("/messages"), is_streamed) {
        (true, true) => event_stream(&[
            json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
            json!({"type": "message_stop"}),
        ]),
        (true, false) => Json(json!({
            "id": "m", "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 2},
        }))
        .into_response(),
        // As Moonshot has it: the usage stands in the choice, and nothing says that it is over.
        (false, true) => event_stream(&[
            json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}),
            json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}]}),
        ]),
        (false, false) => Json(json!({
            "id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }))
        .into_response(),
    }
}

fn event_stream(events: &[Value]) -> Response {
    let events: Vec<String> = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let body = events.concat();
    ([("content-type", "text/event-stream")], body).into_response()
}

/// A gateway with these remote models, which have the keys `k-1`, `refused-2` and so on from a Secret.
async fn gateway(models: &[Value]) -> Binary {
    let objects = [
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
            "spec": {
                "size": "Small", "tls": {"disabled": {}}, "auth": {"anonymous": {}}, "models": models,
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "far"},
            "stringData": {
                "k-1": "s3cret-1", "k-2": "s3cret-2", "refused": "s3cret-refused", "limited": "s3cret-limited",
            },
        }),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    let text = objects.map(|object| object.to_string()).join("\n---\n");
    fs::write(manifests.join("all.yaml"), text).expect("written");
    let arguments = ["--manifests".to_owned(), manifests.display().to_string()];
    Binary::start_in(folder, &arguments).await
}

fn remote(name: &str, remote: &Value) -> Value {
    json!({"name": name, "remote": remote})
}

fn with_keys(name: &str, api: &Api, keys: &[&str]) -> Value {
    let references: Vec<Value> = keys
        .iter()
        .map(|key| json!({"name": "far", "key": key}))
        .collect();
    let base = format!("http://{}/v1", api.address);
    remote(
        name,
        &json!({"provider": "OpenAI", "baseURL": base, "credentials": {"secretKeyRefs": references}}),
    )
}

#[tokio::test]
async fn every_provider_is_asked_in_its_own_words() {
    let api = Api::start().await;
    let base = format!("http://{}", api.address);
    let key = json!({"secretKeyRef": {"name": "far", "key": "k-1"}});
    let rows = [
        ("Anthropic", None, "/messages", "/messages", "x-api-key"),
        (
            "Gemini",
            None,
            "/models/far:generateContent",
            "/models/far:streamGenerateContent?alt=sse",
            "x-goog-api-key",
        ),
        (
            "AzureOpenAI",
            None,
            "/openai/v1/chat/completions",
            "/openai/v1/chat/completions",
            "api-key",
        ),
        (
            "AzureOpenAI",
            Some("2024-10-21"),
            "/openai/deployments/far/chat/completions?api-version=2024-10-21",
            "/openai/deployments/far/chat/completions?api-version=2024-10-21",
            "api-key",
        ),
    ];
    let models: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(index, (provider, version, ..))| {
            let mut model = json!({
                "provider": provider, "baseURL": base, "model": "far", "credentials": key,
            });
            if let Some(version) = version {
                model["apiVersion"] = (*version).into();
            }
            remote(&format!("near-{index}"), &model)
        })
        .collect();
    let gateway = gateway(&models).await;
    for (index, (provider, _, whole, streamed, header)) in rows.iter().enumerate() {
        let name = format!("near-{index}");
        let (status, answer) = gateway.ask("/v1/chat/completions", &chat(&name)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["model"], name.as_str());
        assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert_eq!(answer["usage"]["total_tokens"], 5, "{answer}");
        let mut body = stream(&name);
        body["stream_options"] = json!({"include_usage": true});
        let response = gateway.chat("/v1/chat/completions", &body).send().await;
        let events = events(response.expect("an answer")).await;
        assert_eq!(said(&events), "Hello", "{events:?}");
        let [.., usage, done] = events.as_slice() else {
            panic!("{events:?}")
        };
        let usage: Value = serde_json::from_str(usage).expect("JSON");
        assert_eq!(
            (&usage["usage"]["total_tokens"], done.as_str()),
            (&json!(5), "[DONE]")
        );
        let requests = api.requests();
        let [.., first, second] = requests.as_slice() else {
            panic!("{requests:?}")
        };
        assert_eq!(
            (first.uri.as_str(), second.uri.as_str()),
            (*whole, *streamed)
        );
        for request in [first, second] {
            assert_eq!(request.headers[*header], "s3cret-1");
            assert!(!request.headers.contains_key("authorization"));
            assert!(!request.uri.contains("s3cret"), "{}", request.uri);
        }
        if *provider == "Anthropic" {
            assert_eq!(first.headers["anthropic-version"], "2023-06-01");
            assert_eq!(first.body["max_tokens"], 4096);
        }
    }
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_answered_by_another_model_or_refused() {
    let api = Api::start().await;
    let base = format!("http://{}", api.address);
    let model = |provider: &str| json!({"provider": provider, "baseURL": base});
    let gateway = gateway(&[
        remote("claude", &model("Anthropic")),
        remote("gemini", &model("Gemini")),
    ])
    .await;
    let mut body = chat("claude");
    body["seed"] = json!(7);
    let (status, answer) = gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(
        (&answer["error"]["param"], &answer["error"]["code"]),
        (&json!("seed"), &json!("unsupported_field"))
    );
    let told = answer["error"]["message"].as_str().expect("text");
    assert!(
        told.contains("Anthropic") && told.contains("claude"),
        "{told}"
    );
    body["model"] = json!("gemini");
    assert_eq!(gateway.ask("/v1/chat/completions", &body).await.0, 200);
    assert_eq!(api.requests().len(), 1, "nothing is sent that is refused");
}

#[tokio::test]
async fn keys_are_taken_in_turn_and_those_refused_or_limited_are_left_alone() {
    let api = Api::start().await;
    let keys = ["refused", "k-1", "limited", "k-2"];
    let gateway = gateway(&[with_keys("big", &api, &keys)]).await;
    for _ in 0..6 {
        let (status, answer) = gateway.ask("/v1/chat/completions", &chat("big")).await;
        assert_eq!(status, 200, "{answer}");
    }
    let used = api.keys();
    let count = |key: &str| used.iter().filter(|used| *used == key).count();
    assert_eq!(
        (count("s3cret-refused"), count("s3cret-limited")),
        (1, 1),
        "{used:?}"
    );
    assert_eq!((count("s3cret-1") + count("s3cret-2"), used.len()), (6, 8));
    assert!(count("s3cret-1") > 0 && count("s3cret-2") > 0, "{used:?}");
    let status = gateway.status().await;
    let model = &status["models"][0];
    assert_eq!(model["state"], "ready", "{model}");
    let told: Vec<_> = keys
        .iter()
        .zip(model["credentials"].as_array().expect("a list"))
        .map(|(key, shown)| {
            assert_eq!(shown["name"], format!("far/{key}"));
            shown["state"].as_str().expect("text")
        })
        .collect();
    assert_eq!(told, ["resting", "ready", "resting", "ready"]);
    let (_, metrics) = gateway.managed("/metrics").await;
    for (key, resting) in [("refused", 1), ("k-1", 0), ("limited", 1), ("k-2", 0)] {
        let line = format!(r#"claw_gateway_key_resting{{model="big",key="far/{key}"}} {resting}"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    for shown in [status.to_string(), metrics, gateway.log()] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn a_model_rests_when_all_its_keys_do() {
    let api = Api::start().await;
    let gateway = gateway(&[with_keys("big", &api, &["limited", "refused"])]).await;
    for _ in 0..3 {
        let request = gateway.chat("/v1/chat/completions", &chat("big"));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 429);
        let wait: u64 = response.headers()["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert!((1..=50).contains(&wait), "{wait}");
    }
    assert_eq!(api.requests().len(), 2, "each key was tried once");
    assert_eq!(gateway.status().await["models"][0]["state"], "resting");
}
