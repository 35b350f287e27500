//! How a WebSocket ends.

use std::time::Duration;

use clawdbot::channel::Settings;
use futures::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{Gateway, config, web_socket};
use crate::web_socket_client::Client;

fn hurried() -> Settings {
    let mut settings = Settings::default();
    settings.web_socket.look_every = Duration::from_millis(10);
    settings
}

async fn start(settings: Settings) -> Gateway {
    Gateway::start(config(vec![web_socket("chat")]), settings).await
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let mut settings = Settings::default();
    settings.web_socket.ping_every = Duration::from_millis(20);
    settings.web_socket.max_silence = Duration::from_secs(1);
    let gateway = start(settings).await;
    // Pings are answered while the client reads, so this one stays although it says nothing.
    let mut listener = Client::connect(&gateway).await;
    let mut pings = 0;
    while pings < 70 {
        let message = crate::soon("a ping", listener.socket.next())
            .await
            .expect("open")
            .expect("a message");
        pings += usize::from(matches!(message, Message::Ping(_)));
    }
    // This one reads past its WebSocket layer, so its pongs are missing.
    let mut sleeper = Client::connect(&gateway).await;
    let MaybeTlsStream::Plain(stream) = sleeper.socket.get_mut() else {
        panic!("plain")
    };
    let close = [3, 240, b'n', b'o', b't', b'h', b'i', b'n', b'g']; // 1008, nothing …
    let mut heard = Vec::new();
    while !heard.windows(close.len()).any(|bytes| bytes == close) {
        let count = crate::soon("a close frame", stream.read_buf(&mut heard))
            .await
            .expect("readable");
        assert_ne!(count, 0, "closed without a close frame: {heard:?}");
    }
}

#[tokio::test]
async fn a_drain_lets_the_answer_finish() {
    let gateway = start(Settings::default()).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "stall").await;
    client.ask("2", "too late").await;
    assert_eq!(client.next().await["type"], "started");
    assert_eq!(client.next().await["text"], "well");
    gateway.app.shutdown.cancel();
    let refused = client.next().await;
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!("2"), &json!("going_away"))
    );
    client.ask("3", "later still").await;
    assert_eq!(client.next().await["error"]["code"], "going_away");
    gateway.model.open_gate(1);
    assert_eq!(
        client.answer("1").await.last().expect("frames")["text"],
        "well, yes"
    );
    assert_eq!(client.close_code().await, 1001);
    gateway.settle().await;
}

#[tokio::test]
async fn a_drain_closes_an_idle_connection_at_once() {
    let gateway = start(Settings::default()).await;
    let mut client = Client::connect(&gateway).await;
    gateway.app.shutdown.cancel();
    assert_eq!(client.close_code().await, 1001);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let mut settings = Settings::default();
    settings.web_socket.drain_limit = Duration::from_millis(50);
    let gateway = start(settings).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "stall").await;
    assert_eq!(client.next().await["type"], "started");
    assert_eq!(client.next().await["text"], "well");
    gateway.app.shutdown.cancel();
    assert_eq!(client.close_code().await, 1001);
    gateway.model.cancelled(1).await;
}

#[tokio::test]
async fn a_removed_channel_lets_the_answer_finish() {
    let gateway = start(hurried()).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "stall").await;
    assert_eq!(client.next().await["type"], "started");
    assert_eq!(client.next().await["text"], "well");
    gateway.reconfigure(config(Vec::new()));
    // Refused as soon as the removal was noticed; until then, questions wait.
    client.ask("2", "too late").await;
    assert_eq!(client.next().await["error"]["code"], "going_away");
    gateway.model.open_gate(1);
    assert_eq!(
        client.answer("1").await.last().expect("frames")["text"],
        "well, yes"
    );
    assert_eq!(client.close_code().await, 1001);
}

#[tokio::test]
async fn a_changed_channel_uses_its_new_settings_for_the_next_message() {
    let gateway = start(Settings::default()).await;
    let mut client = Client::connect(&gateway).await;
    let mut changed = config(vec![web_socket("chat")]);
    changed.channels[0].model = "other".into();
    changed.channels[0].system_prompt = Some("Be brief.".into());
    gateway.reconfigure(changed);
    client.ask("1", "hi").await;
    assert_eq!(client.answer("1").await[3]["model"], "other");
    assert_eq!(
        gateway.model.calls(1).await[0].messages[0],
        "system: Be brief."
    );
}

#[tokio::test]
async fn a_revoked_key_ends_the_connection() {
    let gateway = start(hurried()).await;
    let mut client = Client::connect(&gateway).await;
    let mut revoked = config(vec![web_socket("chat")]);
    revoked.auth = claw_crds::gateway_config::AuthConfig::ApiKeys(Vec::new());
    gateway.reconfigure(revoked);
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection() {
    let mut settings = Settings::default();
    settings.web_socket.max_message_bytes = 1000;
    let gateway = start(settings).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", &"x".repeat(2000)).await;
    assert_eq!(client.close_code().await, 1009);
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_connection() {
    let gateway = start(Settings::default()).await;
    let mut client = Client::connect(&gateway).await;
    let MaybeTlsStream::Plain(stream) = client.socket.get_mut() else {
        panic!("plain")
    };
    // A masked text frame (mask of zeros) with one byte that no UTF-8 text has.
    stream
        .write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff])
        .await
        .expect("sent");
    assert_eq!(client.close_code().await, 1007);
}
