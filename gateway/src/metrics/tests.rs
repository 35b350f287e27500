use super::*;
use crate::config::fixture;

#[test]
fn the_text_names_what_happened() {
    let metrics = Metrics::default();
    metrics.answer_began("chat_completions", Duration::from_millis(2));
    metrics.request(
        "chat_completions",
        Some("tiny"),
        200,
        Duration::from_millis(3),
    );
    metrics.usage("tiny", &Usage::new(3, 4));
    metrics.spoken("tiny".to_owned(), Duration::from_millis(6), 4);
    metrics.spoken("tiny".to_owned(), Duration::from_millis(6), 1);
    metrics.queue_waits("tiny").observe(0.25);
    metrics.fallback("far", "upstream_timeout");
    metrics.reload(false);
    metrics.channel_message("desk", "Telegram", "answered");
    let snapshot = Snapshot {
        config_refused: true,
        store_writable: Some(false),
        ..Snapshot::default()
    };
    let text = metrics.encode(&snapshot).expect("encodes");
    for line in [
        r#"claw_gateway_requests_total{handler="chat_completions",model="tiny",status="200"} 1"#,
        r#"claw_gateway_request_latency_seconds_bucket{le="0.5",handler="chat_completions"} 1"#,
        r#"claw_gateway_tokens_total{model="tiny",kind="completion"} 4"#,
        r#"claw_gateway_time_per_output_token_seconds_sum{model="tiny"} 0.002"#,
        r#"claw_gateway_time_per_output_token_seconds_count{model="tiny"} 1"#,
        r#"claw_gateway_queue_wait_seconds_sum{model="tiny"} 0.25"#,
        r#"claw_gateway_fallbacks_total{model="far",reason="upstream_timeout"} 1"#,
        r#"claw_gateway_config_reloads_total{result="refused"} 1"#,
        r#"claw_gateway_channel_messages_total{channel="desk",platform="Telegram",outcome="answered"} 1"#,
        r#"claw_gateway_log_events_total{level="error",target="clawdbot"} 0"#,
        "claw_gateway_config_refused 1",
        "claw_gateway_store_writable{} 0",
        "claw_gateway_open_connections 0",
        "# TYPE process_cpu_seconds counter",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}

#[test]
fn a_store_that_was_not_tried_is_neither_good_nor_bad() {
    let text = Metrics::default()
        .encode(&Snapshot::default())
        .expect("encodes");
    assert!(!text.contains("claw_gateway_store_writable"), "{text}");
}

#[test]
fn the_end_of_the_certificate_is_told() {
    let mut config = fixture::config(&[]);
    config.tls = Some(fixture::tls("red.test"));
    let runtime = fixture::runtime(config);
    let snapshot = Snapshot {
        runtime: Some(&runtime),
        ..Snapshot::default()
    };
    let text = Metrics::default().encode(&snapshot).expect("encodes");
    let not_after = runtime.tls.as_ref().expect("tls").not_after;
    let line = format!("claw_gateway_certificate_expiry_timestamp_seconds{{}} {not_after}");
    assert!(text.contains(&line), "{line} is missing in:\n{text}");
}
