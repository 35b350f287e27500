//! How updates come in and answers go out on Telegram: once, in order, within bounds, and without the token.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claw_crds::gateway_config::ConversationsConfig;
use clawdbot::channel::{QueueLimits, Settings};
use reqwest::StatusCode;
use serde_json::json;

use crate::bot_api::{FakeBotApi, Stopwatch};
use crate::gateway::{Gateway, SECRET, TOKEN, config, telegram};
use crate::telegram::{Bot, direct, from_chat};

/// Settings that wait by this stopwatch.
fn timed(stopwatch: &Arc<Stopwatch>) -> Settings {
    let mut settings = Settings::default();
    settings.telegram.pause = Arc::clone(stopwatch) as _;
    settings
}

fn bounded(jobs: usize) -> Settings {
    let mut settings = Settings::default();
    settings.telegram.queue = QueueLimits { jobs, parallel: 4 };
    settings
}

#[tokio::test]
async fn the_secret_is_checked_before_the_body_is_read() {
    let bot = Bot::start().await;
    for secret in [None, Some("wrong"), Some("")] {
        let response = bot.post("not even JSON".into(), secret).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{secret:?}");
        assert!(!response.text().await.expect("a body").contains(SECRET));
    }
    assert_eq!(
        bot.post("not even JSON".into(), Some(SECRET))
            .await
            .status(),
        StatusCode::BAD_REQUEST
    );
    let large = "x".repeat(64 * 1024 + 1);
    assert_eq!(
        bot.post(large, Some(SECRET)).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(bot.gateway.count("unverified"), 3);
}

#[tokio::test]
async fn only_posts_to_known_channels_are_taken() {
    let bot = Bot::start().await;
    let url = format!("http://{}/channels", bot.gateway.address);
    let get = bot
        .gateway
        .client
        .get(format!("{url}/desk"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (get.status(), &get.headers()["allow"]),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            &"POST".parse().expect("valid")
        )
    );
    let unknown = bot
        .gateway
        .client
        .post(format!("{url}/reception"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_update_is_acknowledged_before_its_answer_is_ready() {
    let bot = Bot::start().await;
    assert_eq!(bot.deliver(&direct(1, "wait for it")).await, StatusCode::OK);
    assert_eq!(
        bot.api.wait_for("sendChatAction", 1).await[0],
        json!({"chat_id": 42, "action": "typing"})
    );
    bot.gateway.model.calls(1).await;
    assert!(bot.api.calls("sendMessage").is_empty());
    bot.gateway.model.open_gate(1);
    assert_eq!(
        bot.api.wait_for("sendMessage", 1).await[0]["text"],
        "echo: wait for it"
    );
}

#[tokio::test]
async fn an_update_that_comes_again_is_answered_once() {
    let bot = Bot::start().await;
    for update in [1, 1, 2, 1] {
        assert_eq!(bot.deliver(&direct(update, "hello")).await, StatusCode::OK);
    }
    bot.gateway.settle().await;
    assert_eq!(bot.api.calls("sendMessage").len(), 2);
    assert_eq!(bot.gateway.count("duplicate"), 2);
}

#[tokio::test]
async fn other_kinds_of_updates_are_acknowledged_and_ignored() {
    let bot = Bot::start().await;
    let edited = json!({"update_id": 1, "edited_message": {"message_id": 1, "text": "hi"}});
    let odd = json!({"update_id": 2, "message": {"message_id": "one"}});
    assert_eq!(
        (bot.deliver(&edited).await, bot.deliver(&odd).await),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(bot.gateway.count("ignored"), 2);
    assert!(bot.gateway.model.questions().is_empty());
}

#[tokio::test]
async fn a_chat_is_answered_in_order_while_another_one_passes() {
    let bot = Bot::start().await;
    for update in [
        direct(1, "wait"),
        direct(2, "second"),
        from_chat(3, 43, "other chat"),
    ] {
        bot.deliver(&update).await;
    }
    assert_eq!(bot.api.wait_for("sendMessage", 1).await[0]["chat_id"], 43);
    bot.gateway.model.open_gate(1);
    let sent = bot.api.wait_for("sendMessage", 3).await;
    assert_eq!(
        [&sent[1]["text"], &sent[2]["text"]],
        ["echo: wait", "echo: second"]
    );
}

#[tokio::test]
async fn a_full_queue_asks_telegram_to_come_again() {
    let bot = Bot::with(bounded(1), |_| {}).await;
    assert_eq!(bot.deliver(&direct(1, "wait")).await, StatusCode::OK);
    bot.gateway.model.calls(1).await;
    let second = from_chat(2, 43, "second");
    assert_eq!(bot.deliver(&second).await, StatusCode::SERVICE_UNAVAILABLE);
    bot.gateway.model.open_gate(1);
    bot.gateway.settle().await;
    assert_eq!(
        bot.deliver(&second).await,
        StatusCode::OK,
        "it was not remembered"
    );
    assert_eq!(
        bot.api.wait_for("sendMessage", 2).await[1]["text"],
        "echo: second"
    );
    assert_eq!(bot.gateway.count("overflow"), 1);
}

#[tokio::test]
async fn telegram_says_how_long_to_wait() {
    let stopwatch = Arc::default();
    let bot = Bot::with(timed(&stopwatch), |_| {}).await;
    let slow_down = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 17}});
    bot.api.plan("sendMessage", 429, slow_down);
    bot.api.plan("sendMessage", 502, json!("<html>"));
    bot.deliver(&direct(1, "hello")).await;
    bot.gateway.settle().await;
    assert_eq!(bot.api.calls("sendMessage").len(), 3);
    assert_eq!(
        stopwatch.pauses(),
        [Duration::from_secs(17), Duration::from_secs(1)]
    );
    assert_eq!(bot.gateway.count("answered"), 1);
}

#[tokio::test]
async fn a_message_that_telegram_refuses_is_given_up() {
    let stopwatch = Arc::default();
    let bot = Bot::with(timed(&stopwatch), |_| {}).await;
    let blocked = json!({"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"});
    bot.api.plan("sendMessage", 403, blocked);
    bot.deliver(&direct(1, "hello")).await;
    bot.gateway.settle().await;
    assert_eq!(
        (bot.api.calls("sendMessage").len(), stopwatch.pauses().len()),
        (1, 0)
    );
    assert_eq!(bot.gateway.count("undelivered"), 1);
}

#[tokio::test]
async fn a_telegram_that_is_down_is_asked_again_who_the_bot_is() {
    let stopwatch = Arc::default();
    let bot = Bot::with(timed(&stopwatch), |_| {}).await;
    for _ in 0..5 {
        bot.api.plan("getMe", 500, json!({}));
    }
    bot.deliver(&direct(1, "lost")).await;
    bot.gateway.settle().await;
    assert_eq!(
        (
            bot.api.calls("getMe").len(),
            bot.gateway.count("undelivered")
        ),
        (5, 1)
    );
    bot.deliver(&direct(2, "hello")).await;
    bot.gateway.settle().await;
    assert_eq!(
        (bot.api.calls("getMe").len(), bot.gateway.count("answered")),
        (6, 1)
    );
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_never_reaches_the_log() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .finish();
    // The runtime of a test has one thread, so everything in it logs here.
    let _guard = tracing::subscriber::set_default(subscriber);
    let stopwatch = Arc::default();
    let bot = Bot::with(timed(&stopwatch), |_| {}).await;
    let echo =
        json!({"ok": false, "description": format!("no such path: /bot{TOKEN}/sendMessage")});
    bot.api.plan("sendMessage", 400, echo);
    bot.deliver(&direct(1, "hello")).await;
    bot.gateway.settle().await;

    let nowhere = Gateway::start(
        config(vec![telegram("desk", "http://127.0.0.1:1")]),
        timed(&stopwatch),
    )
    .await;
    let unreachable = Bot {
        gateway: nowhere,
        api: bot.api,
    };
    unreachable.deliver(&direct(1, "hello")).await;
    unreachable.gateway.settle().await;

    let text = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(
        text.contains("no such path: /bot[redacted]/sendMessage"),
        "{text}"
    );
    assert!(
        text.contains("failed to call the Bot API method getMe"),
        "{text}"
    );
    assert!(!text.contains(TOKEN) && !text.contains("AAHdqT"), "{text}");
}

#[tokio::test]
async fn without_a_key_to_keep_messages_with_telegram_is_asked_to_come_again() {
    let api = FakeBotApi::start().await;
    let mut config = config(vec![telegram("desk", &api.url)]);
    let reason = "spec.state.encryption.keys[0] is not usable".to_owned();
    config.conversations = ConversationsConfig::Unavailable { reason };
    let bot = Bot {
        gateway: Gateway::start(config, Settings::default()).await,
        api,
    };
    let refused = bot.post(direct(1, "hello").to_string(), Some(SECRET)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(bot.gateway.count("unkept"), 1);
    assert!(bot.gateway.model.questions().is_empty());
}

#[tokio::test]
async fn a_kept_message_is_answered_once_with_what_was_said_before() {
    let api = FakeBotApi::start().await;
    let mut config = config(vec![telegram("desk", &api.url)]);
    config.conversations = ConversationsConfig::Stored { keys: Vec::new() };
    let bot = Bot {
        gateway: Gateway::start(config, Settings::default()).await,
        api,
    };
    for (update, text) in [
        (1, "one"),
        (1, "one"),
        (2, "two"),
        (3, "/reset"),
        (4, "three"),
    ] {
        assert_eq!(bot.deliver(&direct(update, text)).await, StatusCode::OK);
    }
    bot.gateway.settle().await;
    assert_eq!(bot.api.calls("sendMessage").len(), 4);
    assert_eq!(bot.gateway.count("duplicate"), 1);
    let calls = bot.gateway.model.calls(3).await;
    let second = [
        "system: Be kind.",
        "user: one",
        "assistant: echo: one",
        "user: two",
    ];
    assert_eq!(calls[1].messages, second);
    assert_eq!(calls[2].messages, ["system: Be kind.", "user: three"]);
    assert!(bot.gateway.state.path().join("state.key").is_file());
}
