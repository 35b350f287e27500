//! Conversations over a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::AuditConfig;
use clawdbot::audit::Segment;
use clawdbot::channel::Settings;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{Gateway, config, web_socket};
use crate::web_socket_client::Client;

async fn start() -> Gateway {
    Gateway::start(config(vec![web_socket("chat")]), Settings::default()).await
}

#[tokio::test]
async fn an_answer_is_streamed() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "hi").await;
    assert_eq!(
        client.answer("1").await,
        [
            json!({"type": "started", "id": "1"}),
            json!({"type": "delta", "id": "1", "text": "echo: "}),
            json!({"type": "delta", "id": "1", "text": "hi"}),
            json!({
                "type": "done", "id": "1", "text": "echo: hi", "model": "tiny", "finish_reason": "stop",
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            }),
        ]
    );
    assert_eq!(gateway.count("answered"), 1);
}

#[tokio::test]
async fn two_messages_are_answered_one_after_the_other_with_the_history() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "wait").await;
    client.ask("2", "second").await;
    gateway.model.calls(1).await;
    gateway.model.open_gate(1);
    let frames = client.answer("2").await;
    let order: Vec<_> = frames
        .iter()
        .map(|frame| (frame["type"].as_str(), frame["id"].as_str()))
        .collect();
    let of = |kind, id| (Some(kind), Some(id));
    assert_eq!(order[..2], [of("started", "1"), of("delta", "1")]);
    assert_eq!(order[3..5], [of("done", "1"), of("started", "2")]);
    assert_eq!(
        gateway.model.calls(2).await[1].messages,
        [
            "system: Be kind.",
            "user: wait",
            "assistant: echo: wait",
            "user: second"
        ]
    );
}

#[tokio::test]
async fn a_reset_forgets_the_history() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "hi").await;
    client.answer("1").await;
    client.ask("2", "stall").await;
    gateway.model.calls(2).await;
    client.send(json!({"type": "reset"})).await;
    client.send(json!({"type": "ping"})).await;
    while client.next().await["type"] != "pong" {}
    gateway.model.open_gate(1);
    client.answer("2").await;
    client.ask("3", "again").await;
    client.answer("3").await;
    assert_eq!(
        gateway.model.calls(3).await[2].messages,
        ["system: Be kind.", "user: again"]
    );
}

#[tokio::test]
async fn a_cancelled_answer_stops_and_the_next_one_starts() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "stall").await;
    client.ask("2", "hi").await;
    client.ask("3", "never asked").await;
    assert_eq!(client.next().await["type"], "started");
    assert_eq!(client.next().await["text"], "well");
    client.send(json!({"type": "cancel", "id": "3"})).await;
    assert_eq!(client.next().await["finish_reason"], "cancelled");
    client.send(json!({"type": "cancel", "id": "1"})).await;
    assert_eq!(
        client.next().await,
        json!({"type": "done", "id": "1", "text": "well", "model": null, "finish_reason": "cancelled", "usage": null})
    );
    gateway.model.cancelled(1).await;
    assert_eq!(
        client.answer("2").await.last().expect("frames")["text"],
        "echo: hi"
    );
    assert_eq!(gateway.model.questions(), ["stall", "hi"]);
    assert_eq!(
        gateway.model.calls(2).await[1].messages.len(),
        2,
        "a cancelled answer is not remembered"
    );
    client.send(json!({"type": "cancel", "id": "9"})).await;
    assert_eq!(client.next().await["error"]["code"], "unknown_id");
    assert_eq!(
        (gateway.count("cancelled"), gateway.count("answered")),
        (2, 1)
    );
}

#[tokio::test]
async fn an_answer_is_cancelled_when_the_client_leaves() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "stall").await;
    assert_eq!(client.next().await["type"], "started");
    assert_eq!(client.next().await["text"], "well");
    drop(client);
    gateway.model.cancelled(1).await;
    gateway.settle().await;
    assert_eq!(gateway.count("cancelled"), 1);
}

#[tokio::test]
async fn only_a_few_messages_may_wait() {
    let mut settings = Settings::default();
    settings.web_socket.max_waiting = 1;
    let gateway = Gateway::start(config(vec![web_socket("chat")]), settings).await;
    let mut client = Client::connect(&gateway).await;
    for id in ["1", "2", "3"] {
        client.ask(id, "wait").await;
    }
    assert_eq!(client.next().await, json!({"type": "started", "id": "1"}));
    let refusal = client.next().await;
    assert_eq!(
        (&refusal["id"], &refusal["error"]["code"]),
        (&json!("3"), &json!("too_many_requests"))
    );
    assert_eq!(refusal["error"]["type"], "rate_limit_error");
    gateway.model.open_gate(2);
    client.answer("2").await;
    assert_eq!(gateway.count("overflow"), 1);
}

#[tokio::test]
async fn failures_are_told_and_the_connection_goes_on() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "fail").await;
    let frames = client.answer("1").await;
    assert_eq!(frames[1]["error"]["code"], "model_unavailable");
    client.ask("2", "break").await;
    let frames = client.answer("2").await;
    assert_eq!(frames[1]["text"], "well");
    assert_eq!(frames[2]["error"]["code"], "upstream_interrupted");
    client.ask("3", "hi").await;
    assert_eq!(client.answer("3").await[3]["text"], "echo: hi");
    assert_eq!(
        gateway.model.calls(3).await[2].messages.len(),
        2,
        "failures are not remembered"
    );
}

#[tokio::test]
async fn bad_frames_are_told_and_the_connection_goes_on() {
    let gateway = start().await;
    let mut client = Client::connect(&gateway).await;
    let bad = [
        ("no JSON", None),
        (r#"{"type": "dance"}"#, Some("type")),
        (r#"{"type": "message", "id": "1"}"#, Some("text")),
        (r#"{"type": "message", "id": 1, "text": "x"}"#, Some("id")),
    ];
    for (text, param) in bad {
        client.send_raw(Message::text(text)).await;
        let frame = client.next().await;
        assert_eq!(
            (
                frame["error"]["code"].as_str(),
                frame["error"]["param"].as_str()
            ),
            (Some("invalid_frame"), param)
        );
    }
    client.send_raw(Message::binary(vec![0xff, 0xfe])).await;
    assert_eq!(client.next().await["error"]["code"], "invalid_frame");
    client.ask("1", "stall").await;
    assert_eq!(client.next().await["type"], "started");
    client.ask("1", "same id").await;
    let frames = [client.next().await, client.next().await];
    assert!(
        frames
            .iter()
            .any(|frame| frame["error"]["code"] == "duplicate_id"),
        "{frames:?}"
    );
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn messages_count_against_the_limit_of_their_sender() {
    let mut limited = config(vec![web_socket("chat")]);
    limited.limits.requests_per_second = Some(1);
    let gateway = Gateway::start(limited, Settings::default()).await;
    let mut client = Client::connect(&gateway).await;
    for id in ["1", "2", "3", "4"] {
        client.ask(id, "hi").await;
    }
    let mut refused = 0;
    for _ in 0..4 {
        let mut last = client.next().await;
        while last["type"] != "done" && last["type"] != "error" {
            last = client.next().await;
        }
        refused += usize::from(last["error"]["code"] == "rate_limit_exceeded");
    }
    // On a machine that is slow enough a second may pass in between.
    assert!((1..=3).contains(&refused), "{refused}");
}

#[tokio::test]
async fn nothing_is_asked_over_an_old_connection_while_nothing_can_be_recorded() {
    let gateway = start().await;
    let audit = &gateway.app.audit;
    let mut client = Client::connect(&gateway).await;
    let in_the_way = gateway.state.path().join(clawdbot::audit::FOLDER);
    std::fs::write(&in_the_way, "a file").expect("written");
    audit
        .configure(Some(&AuditConfig::default()))
        .expect("a thread");
    let until = async |is_admitted| {
        while audit.admit().is_ok() != is_admitted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    crate::soon("the fault", until(false)).await;
    client.ask("1", "hi").await;
    let refusal = client.next().await;
    assert_eq!(
        (&refusal["id"], &refusal["error"]["code"]),
        (&json!("1"), &json!("audit_unavailable"))
    );
    std::fs::remove_file(&in_the_way).expect("removed");
    crate::soon("the repair", until(true)).await;
    client.ask("2", "hi").await;
    assert_eq!(client.answer("2").await[0]["type"], "started");
    assert_eq!(gateway.count("overflow"), 1);
}

#[tokio::test]
async fn what_was_said_is_recorded_where_it_is_asked_for() {
    let gateway = start().await;
    let audit = Arc::clone(&gateway.app.audit);
    let config = AuditConfig {
        with_content: true,
        ..AuditConfig::default()
    };
    audit.configure(Some(&config)).expect("a thread");
    let mut client = Client::connect(&gateway).await;
    client.ask("1", "hi").await;
    let answer = client.answer("1").await;
    let said = answer.last().expect("an end")["text"].clone();
    tokio::task::spawn_blocking(move || audit.close(Duration::from_secs(30)))
        .await
        .expect("closed");
    let log = gateway.state.path().join(clawdbot::audit::FOLDER);
    let segments = Segment::list(&log.join("chain-0")).expect("listed");
    let text = std::fs::read_to_string(&segments[0].path).expect("text");
    let mut records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let record = records
        .find(|record| record["event.action"] == "channel-message")
        .expect("a record");
    assert_eq!(
        record["claw.content.prompt"],
        json!([{"role": "user", "text": "hi"}])
    );
    assert_eq!(record["claw.content.answer"], json!([said]));
}
