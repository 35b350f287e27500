//! The real program with a Telegram channel, killed at any point: nothing that was acknowledged is lost, and nothing is
//! answered twice but for what was being sent at that moment, of which nobody can know whether it arrived.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    AccessConfig, BudgetsConfig, ChannelConfig, ConversationsConfig, DirectAccess, GroupAccess,
    PlatformConfig, Redacted,
};
use clawdbot::store::Place;
use futures::stream;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::databases::{Database, Kind};
use crate::failures::{fill, start_on_small_disk};
use crate::gateway::{DEADLINE, Gateway, config, serve, until};
use crate::mailbox::execute;
use crate::postgres::Postgres;

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Telegram and the model, which outlive the program.
struct World {
    address: SocketAddr,
    stage: Arc<Stage>,
}

struct Stage {
    /// Texts that were sent.
    sent: watch::Sender<Vec<String>>,
    /// Chats that the model was asked about: the messages.
    asked: watch::Sender<Vec<Vec<String>>>,
    /// Whether the model answers questions that begin with `wait`.
    is_open: watch::Sender<bool>,
    /// Whether Telegram answers the later pieces of a text.
    takes: watch::Sender<bool>,
    /// Whether Telegram refuses the bot's token.
    is_shut: watch::Sender<bool>,
    /// How often it did.
    refused: watch::Sender<usize>,
}

impl World {
    fn start() -> Self {
        let stage = Arc::new(Stage {
            sent: watch::Sender::default(),
            asked: watch::Sender::default(),
            is_open: watch::Sender::new(false),
            takes: watch::Sender::new(false),
            is_shut: watch::Sender::new(false),
            refused: watch::Sender::default(),
        });
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&stage));
        let address = serve(app);
        Self { address, stage }
    }

    fn sent(&self) -> Vec<String> {
        self.stage.sent.borrow().clone()
    }

    async fn until_sent(&self, text: &str) {
        until(text, async || {
            let sent = self.stage.sent.borrow();
            sent.iter().any(|sent| sent == text).then_some(())
        })
        .await;
    }

    async fn until_asked(&self, count: usize) -> Vec<Vec<String>> {
        until("the model is asked", async || {
            let asked = self.stage.asked.borrow();
            (asked.len() >= count).then(|| asked.clone())
        })
        .await
    }

    fn config(&self, place: &Place) -> GatewayConfig {
        let mut config = config(self.address, BudgetsConfig::default(), place);
        config.conversations = ConversationsConfig::Stored {
            keys: vec![Redacted::new(KEY)],
        };
        config.channels = vec![ChannelConfig {
            name: "desk".into(),
            model: "far".into(),
            system_prompt: None,
            platform: PlatformConfig::Telegram {
                bot_token: Redacted::new(TOKEN),
                webhook_secret: Redacted::new("hook"),
                api_base_url: format!("http://{}", self.address),
            },
            access: AccessConfig {
                direct: DirectAccess::Open,
                allow_from: [].into(),
                groups: GroupAccess::Disabled,
            },
        }];
        config
    }
}

async fn answer(State(stage): State<Arc<Stage>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    let body: Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
    let result = match path.strip_prefix(&format!("/bot{TOKEN}/")) {
        None => return complete(&stage, &body).await,
        Some("getMe") => json!({"id": 99, "is_bot": true, "username": "desk_bot"}),
        Some("sendMessage") if *stage.is_shut.borrow() => {
            stage.refused.send_modify(|refused| *refused += 1);
            let error = json!({"ok": false, "error_code": 401, "description": "Unauthorized"});
            return (axum::http::StatusCode::UNAUTHORIZED, Json(error)).into_response();
        }
        Some("sendMessage") => {
            let text = body["text"].as_str().expect("a text").to_owned();
            let is_held = !text.starts_with("echo: ");
            stage.sent.send_modify(|sent| sent.push(text));
            if is_held {
                let mut takes = stage.takes.subscribe();
                takes.wait_for(|takes| *takes).await.expect("open");
            }
            json!({"message_id": 1})
        }
        Some(_) => json!(true),
    };
    Json(json!({"ok": true, "result": result})).into_response()
}

async fn complete(stage: &Stage, body: &Value) -> Response {
    let messages = body["messages"].as_array().expect("messages");
    let texts: Vec<String> = messages
        .iter()
        .map(|message| message["content"].as_str().expect("text").to_owned())
        .collect();
    let question = texts.last().expect("a question").clone();
    stage.asked.send_modify(|asked| asked.push(texts));
    if question.starts_with("wait") {
        let mut is_open = stage.is_open.subscribe();
        is_open.wait_for(|open| *open).await.expect("open");
    }
    let mut text = format!("echo: {question}");
    if question.starts_with("long") {
        text.push_str("\n\n");
        text.push_str(&"x".repeat(4090));
    }
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "far", "object": "chat.completion.chunk", "created": 0, "model": "far",
               "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let events = [
        chunk(json!({"role": "assistant", "content": text}), Value::Null).to_string(),
        chunk(json!({}), json!("stop")).to_string(),
        "[DONE]".to_owned(),
    ];
    let events = stream::iter(
        events.map(|event| Ok::<_, Infallible>(Bytes::from(format!("data: {event}\n\n")))),
    );
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(events))
        .expect("a response")
}

/// What Telegram delivers; it tries until it is told 200.
async fn deliver(gateway: &Gateway, update: i64, chat: i64, text: &str) -> Option<u16> {
    let update = json!({"update_id": update, "message": {
        "message_id": update, "from": {"id": chat, "is_bot": false},
        "chat": {"id": chat, "type": "private"}, "text": text,
    }});
    let url = format!("http://{}/channels/desk", gateway.address());
    let sent = reqwest::Client::new()
        .post(url)
        .header("X-Telegram-Bot-Api-Secret-Token", "hook")
        .body(update.to_string())
        .timeout(Duration::from_secs(10))
        .send()
        .await;
    sent.ok().map(|response| response.status().as_u16())
}

/// A new process on the same database; the one before is known to be dead.
async fn restart(world: &World, place: &Place, folder: &Path) -> Gateway {
    execute(place.clone(), "UPDATE channel_process SET expires_at = 0").await;
    let gateway = Gateway::start(&world.config(place), folder, &[]).await;
    gateway.until_ready(true).await;
    gateway
}

fn place_in(folder: &Path, database: &Database) -> Place {
    match database {
        Database::Sqlite(_) => Place::in_directory(&folder.join("state")),
        Database::Postgres(server) => server.place(),
    }
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_message_goes_on_where_the_process_was_killed(#[case] kind: Kind) {
    let (database, world) = (Database::start(kind).await, World::start());
    let folder = tempfile::tempdir().expect("a folder");
    let place = place_in(folder.path(), &database);
    let gateway = Gateway::start(&world.config(&place), folder.path(), &[]).await;
    gateway.until_ready(true).await;
    assert_eq!(deliver(&gateway, 1, 42, "hello").await, Some(200));
    world.until_sent("echo: hello").await;
    // One is being answered, and of another one the second piece is being sent.
    assert_eq!(deliver(&gateway, 2, 42, "wait").await, Some(200));
    assert_eq!(deliver(&gateway, 3, 43, "long").await, Some(200));
    world.until_asked(3).await;
    until("the second piece", async || {
        (world.sent().len() == 3).then_some(())
    })
    .await;
    gateway.kill().await;

    world.stage.is_open.send_replace(true);
    world.stage.takes.send_replace(true);
    let gateway = restart(&world, &place, folder.path()).await;
    world.until_sent("echo: wait").await;
    assert_eq!(deliver(&gateway, 2, 42, "wait").await, Some(200));
    assert_eq!(deliver(&gateway, 4, 42, "again").await, Some(200));
    world.until_sent("echo: again").await;
    until("the second piece is sent again", async || {
        let sent = world.sent();
        (sent.iter().filter(|text| text.starts_with('x')).count() == 2).then_some(())
    })
    .await;
    let count = |text: &str| world.sent().iter().filter(|sent| *sent == text).count();
    for text in ["hello", "wait", "long", "again"] {
        assert_eq!(count(&format!("echo: {text}")), 1, "{text}");
    }
    let asked = world.until_asked(5).await;
    let history = ["hello", "echo: hello", "wait", "echo: wait", "again"];
    assert_eq!(asked.last().expect("asked"), &history);
    gateway.kill().await;
}

#[tokio::test]
async fn an_answer_waits_while_telegram_does_not_take_it() {
    let world = World::start();
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::in_directory(&folder.path().join("state"));
    let gateway = Gateway::start(&world.config(&place), folder.path(), &[]).await;
    gateway.until_ready(true).await;
    world.stage.is_shut.send_replace(true);
    assert_eq!(deliver(&gateway, 1, 42, "hello").await, Some(200));
    // More often than a message is tried that may be what ends the process.
    let mut refused = world.stage.refused.subscribe();
    tokio::time::timeout(DEADLINE, refused.wait_for(|refused| *refused >= 5))
        .await
        .expect("in time")
        .expect("open");
    world.stage.is_shut.send_replace(false);
    world.until_sent("echo: hello").await;
    assert_eq!(deliver(&gateway, 2, 42, "again").await, Some(200));
    world.until_sent("echo: again").await;
    assert_eq!(world.sent(), ["echo: hello", "echo: again"]);
    assert_eq!(world.until_asked(2).await.len(), 2, "one question each");
    gateway.kill().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_and_repeat_only_what_was_being_sent(#[case] kind: Kind) {
    const KILLS: i64 = 4;
    const CHATS: i64 = 4;
    const EACH: i64 = 12;
    let (database, world) = (Database::start(kind).await, World::start());
    let folder = tempfile::tempdir().expect("a folder");
    let place = place_in(folder.path(), &database);
    let mut gateway = Gateway::start(&world.config(&place), folder.path(), &[]).await;
    gateway.until_ready(true).await;
    let mut expected = Vec::new();
    for round in 0..KILLS {
        let first = round * CHATS * EACH;
        let updates: Vec<_> = (first..first + CHATS * EACH).collect();
        let mut refused = Vec::new();
        for update in &updates {
            expected.push(format!("echo: {update}"));
            let text = update.to_string();
            if deliver(&gateway, *update, update % CHATS, &text).await != Some(200) {
                refused.push(*update);
            }
        }
        // In the middle of its work.
        gateway.kill().await;
        gateway = restart(&world, &place, folder.path()).await;
        // Those of which it heard nothing, and one more that it had acknowledged.
        for update in refused.iter().chain(updates.first()) {
            let text = update.to_string();
            until("it is taken", async || {
                let status = deliver(&gateway, *update, update % CHATS, &text).await;
                (status == Some(200)).then_some(())
            })
            .await;
        }
    }
    for text in &expected {
        world.until_sent(text).await;
    }
    let mut counts = BTreeMap::new();
    for text in world.sent() {
        *counts.entry(text).or_insert(0) += 1;
    }
    let repeated: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    println!("{} answers, repeated: {repeated:?}", counts.len());
    assert_eq!(counts.len(), expected.len());
    // At most one message of each chat is being sent when its process is killed.
    assert!(repeated.len() <= usize::try_from(KILLS * CHATS).expect("small"));
    gateway.kill().await;
}

#[tokio::test]
async fn without_its_database_telegram_is_asked_to_come_again() {
    let (mut postgres, world) = (Postgres::start().await, World::start());
    let folder = tempfile::tempdir().expect("a folder");
    let config = world.config(&postgres.place());
    let gateway = Gateway::start(&config, folder.path(), &[]).await;
    gateway.until_ready(true).await;
    assert_eq!(deliver(&gateway, 1, 42, "hello").await, Some(200));
    world.until_sent("echo: hello").await;
    postgres.kill().await;
    assert_eq!(deliver(&gateway, 2, 42, "lost").await, Some(503));
    let (_, status) = gateway.manage("/status").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["state"]["available"], false, "{status}");
    let why = status["state"]["messages"].as_str().expect("a reason");
    assert!(why.contains("messages of channels"), "{why}");
    let (_, metrics) = gateway.manage("/metrics").await;
    assert!(metrics.contains(r#"outcome="unkept"} 1"#), "{metrics}");

    postgres.resume().await;
    until("it is taken", async || {
        let status = deliver(&gateway, 2, 42, "lost").await;
        (status == Some(200)).then_some(())
    })
    .await;
    world.until_sent("echo: lost").await;
    gateway.kill().await;
}

#[tokio::test]
async fn on_a_full_disk_telegram_is_asked_to_come_again() {
    let world = World::start();
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    std::fs::create_dir(&state).expect("a folder");
    let config = world.config(&Place::in_directory(&state));
    let gateway = start_on_small_disk(&config, folder.path(), &state).await;
    gateway.until_ready(true).await;
    assert_eq!(deliver(&gateway, 1, 42, "hello").await, Some(200));
    world.until_sent("echo: hello").await;

    let seen = format!("/proc/{}/root{}/filler", gateway.id(), state.display());
    fill(Path::new(&seen));
    let mut update = 1;
    until("an update is refused", async || {
        update += 1;
        let status = deliver(&gateway, update, 42, &format!("{update}")).await;
        (status == Some(503)).then_some(())
    })
    .await;
    std::fs::remove_file(&seen).expect("removed");
    until("it is taken", async || {
        let status = deliver(&gateway, update, 42, &format!("{update}")).await;
        (status == Some(200)).then_some(())
    })
    .await;
    for update in 2..=update {
        world.until_sent(&format!("echo: {update}")).await;
    }
    let sent = world.sent();
    assert_eq!(
        sent.len(),
        usize::try_from(update).expect("few"),
        "{sent:?}"
    );
    gateway.kill().await;
}
