//! What of a conversation on Telegram is in the audit log.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use claw_crds::gateway_config::{
    AuditConfig, ModelBackend, ModelConfig, ProviderConfig, RemoteModelConfig, TaskConfig,
};
use clawdbot::audit::Segment;
use clawdbot::channel::Settings;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::bot_api::FakeBotApi;
use crate::gateway::{Gateway, config, telegram};
use crate::telegram::{Bot, direct};

/// An API that says "Good day" in pieces.
async fn upstream(server: &mut JoinSet<()>) -> ModelConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let piece = |text: &str, reason: Option<&str>| {
        let delta = json!({"content": text});
        json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let pieces = [
        piece("Good", None),
        piece(" ", None),
        piece("day", Some("stop")),
    ];
    let events = pieces.iter().map(|piece| format!("data: {piece}\n\n"));
    let body: String = events.chain(["data: [DONE]\n\n".to_owned()]).collect();
    let answer = post(async || ([("content-type", "text/event-stream")], body));
    let app = Router::new().route("/v1/chat/completions", answer);
    server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
    ModelConfig {
        name: "tiny".into(),
        task: TaskConfig::Chat,
        backend: ModelBackend::Remote(RemoteModelConfig {
            provider: ProviderConfig::OpenAI,
            base_url: format!("http://{address}/v1"),
            model: "tiny".into(),
            api_version: None,
            credentials: Vec::new(),
        }),
    }
}

/// The record of one message, and the whole log.
async fn recorded(with_content: bool) -> (Value, String) {
    let mut server = JoinSet::new();
    let api = FakeBotApi::start().await;
    let mut config = config(vec![telegram("desk", &api.url)]);
    config.models.push(upstream(&mut server).await);
    let gateway = Gateway::dispatching(config, Settings::default()).await;
    let bot = Bot { gateway, api };
    let audit = Arc::clone(&bot.gateway.app.audit);
    let wanted = AuditConfig {
        with_content,
        ..AuditConfig::default()
    };
    audit.configure(Some(&wanted)).expect("a thread");
    let sent = bot.talk(&[direct(1, "a planted question")]).await;
    assert_eq!(sent[0]["text"], "Good day");
    tokio::task::spawn_blocking(move || audit.close(Duration::from_secs(30)))
        .await
        .expect("closed");
    let log = bot.gateway.state.path().join(clawdbot::audit::FOLDER);
    let segments = Segment::list(&log.join("chain-0")).expect("listed");
    let text = std::fs::read_to_string(&segments[0].path).expect("text");
    let mut records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let record = records
        .find(|record| record["event.action"] == "channel-message")
        .expect("a record");
    (record, text)
}

#[tokio::test]
async fn what_was_said_is_recorded_where_it_is_asked_for() {
    let (record, _) = recorded(true).await;
    assert_eq!(record["claw.channel.platform"], "Telegram");
    assert_eq!(
        record["claw.content.prompt"],
        json!([
            {"role": "system", "text": "Be kind."},
            {"role": "user", "text": "a planted question"},
        ])
    );
    assert_eq!(record["claw.content.answer"], json!(["Good day"]));
    assert_eq!(record["claw.content.truncated"], false);
}

#[tokio::test]
async fn nothing_that_was_said_is_recorded_otherwise() {
    let (record, log) = recorded(false).await;
    assert_eq!(record["claw.channel.outcome"], "answered");
    for said in ["planted question", "Good day", "Be kind", "claw.content"] {
        assert!(!log.contains(said), "{said} is in {log}");
    }
}
