//! A Telegram that is played by the test.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use clawdbot::channel::telegram::Pause;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gateway::TOKEN;

pub(crate) struct FakeBotApi {
    pub(crate) url: String,
    stage: Arc<Stage>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Stage {
    calls: watch::Sender<Vec<(String, Value)>>,
    planned: Mutex<HashMap<&'static str, VecDeque<(StatusCode, Value)>>>,
}

impl FakeBotApi {
    pub(crate) async fn start() -> Self {
        let stage = Arc::new(Stage::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let service = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&stage));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, service).await.expect("serves") });
        Self {
            url,
            stage,
            _server: server,
        }
    }

    /// Answer the next call of a method like this, instead of well.
    pub(crate) fn plan(&self, method: &'static str, status: u16, body: Value) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.stage
            .planned
            .lock()
            .expect("not poisoned")
            .entry(method)
            .or_default()
            .push_back((status, body));
    }

    /// The bodies of all calls of a method so far.
    pub(crate) fn calls(&self, method: &str) -> Vec<Value> {
        bodies(&self.stage.calls.borrow(), method)
    }

    /// The bodies of all calls of a method, as soon as there are this many.
    pub(crate) async fn wait_for(&self, method: &str, count: usize) -> Vec<Value> {
        let mut calls = self.stage.calls.subscribe();
        let enough = calls.wait_for(|calls| bodies(calls, method).len() >= count);
        bodies(&crate::soon(method, enough).await.expect("open"), method)
    }
}

fn bodies(calls: &[(String, Value)], method: &str) -> Vec<Value> {
    calls
        .iter()
        .filter(|(name, _)| name == method)
        .map(|(_, body)| body.clone())
        .collect()
}

async fn answer(State(stage): State<Arc<Stage>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Some(method) = path.strip_prefix(&format!("/bot{TOKEN}/")) else {
        return (
            StatusCode::NOT_FOUND,
            Json(json!({"ok": false, "description": "Not Found"})),
        )
            .into_response();
    };
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .expect("a body");
    let body = serde_json::from_slice(&bytes).expect("JSON");
    let planned = stage
        .planned
        .lock()
        .expect("not poisoned")
        .get_mut(method)
        .and_then(VecDeque::pop_front);
    let answer = planned.unwrap_or_else(|| {
        let result = match method {
            "getMe" => {
                json!({"id": 99, "is_bot": true, "first_name": "Desk", "username": "Helpdesk_Bot"})
            }
            "sendMessage" => json!({"message_id": 1000}),
            _ => json!(true),
        };
        (StatusCode::OK, json!({"ok": true, "result": result}))
    });
    stage
        .calls
        .send_modify(|calls| calls.push((method.to_owned(), body)));
    (answer.0, Json(answer.1)).into_response()
}

/// Remembers how long would have been waited.
#[derive(Default)]
pub(crate) struct Stopwatch(Mutex<Vec<Duration>>);

impl Stopwatch {
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Pause for Stopwatch {
    fn pause(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.0.lock().expect("not poisoned").push(duration);
        futures::future::ready(()).boxed()
    }
}
