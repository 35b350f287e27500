//! A process that is killed with a thousand requests in flight, again and again, over the same state.

use std::convert::Infallible;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use claw_crds::gateway_config::{AuditConfig, BudgetConfig, BudgetsConfig};
use clawdbot::store::Place;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, TOKENS, config, serve, until, whole_answer};

const KILLS: u64 = 20;
/// Streams that stand when a process is killed, none of which comes to its end.
const STREAMS: u64 = 960;
/// Clients that are answered all the time.
const CLIENTS: usize = 40;
/// Whatever the streams that are cut off may have used, and half as much again for whole answers.
const LIMIT: u64 = 3 * KILLS * STREAMS * TOKENS / 2;

/// What clients have seen.
#[derive(Default)]
struct Seen {
    /// Streams that have begun.
    streams: AtomicU64,
    answered: AtomicU64,
    unknown: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_leave_limits_audit_and_store_consistent() {
    let folder = tempfile::tempdir().expect("a folder");
    let seen = Arc::new(Seen::default());
    let budgets = BudgetsConfig {
        gateway: BudgetConfig {
            tokens_per_day: Some(LIMIT),
            ..BudgetConfig::default()
        },
        ..BudgetsConfig::default()
    };
    let state = Place::in_directory(folder.path());
    let upstream = serve(Router::new().route("/v1/chat/completions", post(answer)));
    let mut config = config(upstream, budgets, &state);
    config.limits.max_connections = 2_000;
    config.audit = Some(AuditConfig::default());
    let mut recorded = 0;
    for kill in 0..KILLS {
        let gateway = Gateway::start(&config, folder.path(), &[]).await;
        gateway.until_ready(true).await;
        let gateway = Arc::new(gateway);
        let mut clients = JoinSet::new();
        for _ in 0..STREAMS {
            clients.spawn(stream(Arc::clone(&gateway), Arc::clone(&seen)));
        }
        until("all streams stand", async || {
            (seen.streams.load(Ordering::Relaxed) == STREAMS).then_some(())
        })
        .await;
        // Only now, or they would use up the limit while the streams begin.
        for _ in 0..CLIENTS {
            clients.spawn(ask(Arc::clone(&gateway), Arc::clone(&seen)));
        }
        let answered = seen.answered.load(Ordering::Relaxed);
        until("a thousand requests are in flight", async || {
            let others = seen.answered.load(Ordering::Relaxed) - answered;
            (others >= 100 + 7 * kill).then_some(())
        })
        .await;
        let acknowledged = acknowledged(&gateway).await;
        let id = i32::try_from(gateway.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("killed");
        clients.join_all().await;
        seen.streams.store(0, Ordering::Relaxed);

        let verified = audit(folder.path(), "verify").await;
        assert!(verified.status.success(), "kill {kill}: {verified:?}");
        let records = audit(folder.path(), "export").await.stdout;
        let records = String::from_utf8(records).expect("UTF-8").lines().count() as u64;
        assert!(
            records >= acknowledged && records > recorded,
            "kill {kill}: {records} records, {acknowledged} were acknowledged, {recorded} before"
        );
        recorded = records;
    }
    let last = Arc::new(Gateway::start(&config, folder.path(), &[]).await);
    last.until_ready(true).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(Arc::clone(&last), Arc::clone(&seen)));
    }
    clients.join_all().await;
    let answered = seen.answered.load(Ordering::Relaxed) * TOKENS;
    let unknown = seen.unknown.load(Ordering::Relaxed) * TOKENS;
    println!("answered {answered} of {LIMIT}, unknown {unknown}, {recorded} records");
    assert!(answered <= LIMIT, "{answered} of {LIMIT}");
    let usable = LIMIT - LIMIT / 100 - TOKENS;
    assert!(
        answered + unknown >= usable,
        "{answered} and at most {unknown} of {LIMIT}"
    );
}

/// Ask until the process dies, or nothing is left of the limit.
async fn ask(gateway: Arc<Gateway>, seen: Arc<Seen>) {
    loop {
        let Ok(response) = gateway.ask().await else {
            // It may have been granted.
            seen.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        match response.status().as_u16() {
            200 => seen.answered.fetch_add(1, Ordering::Relaxed),
            429 => return,
            status => panic!("status {status}"),
        };
    }
}

/// Begin a stream, and read until the process dies.
async fn stream(gateway: Arc<Gateway>, seen: Arc<Seen>) {
    let fields = json!({"max_tokens": TOKENS - 9, "stream": true});
    let response = gateway.ask_for(&fields).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let mut body = response.bytes_stream();
    body.next().await.expect("a piece").expect("a piece");
    seen.streams.fetch_add(1, Ordering::Relaxed);
    while let Some(Ok(_)) = body.next().await {}
    seen.unknown.fetch_add(1, Ordering::Relaxed);
}

async fn acknowledged(gateway: &Gateway) -> u64 {
    let (_, status) = gateway.manage("/status").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["audit"]["acknowledged"].as_u64().expect("a number")
}

async fn audit(folder: &Path, command: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clawdbot"))
        .args(["audit", command])
        .env("CLAWDBOT_STATE_DIR", folder.join("state"))
        .output()
        .await
        .expect("runs")
}

/// Whole answers come at once, and streams begin and stand.
async fn answer(Json(chat): Json<Value>) -> Response {
    if chat["stream"] != true {
        return whole_answer().await.into_response();
    }
    let chunk = json!({
        "id": "far", "object": "chat.completion.chunk", "created": 0, "model": "far",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "o"}}],
    });
    let first = Ok::<_, Infallible>(Bytes::from(format!("data: {chunk}\n\n")));
    let stands = futures::stream::pending();
    let body = futures::stream::iter([first]).chain(stands);
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}
