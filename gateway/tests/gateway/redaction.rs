//! Secrets are planted in every place that takes one, and nobody tells them: neither logs, traces, audit records and
//! their receivers, metrics and status, nor what callers are told of failures. What was asked and answered stands in
//! audit records that are to have it, and nowhere else.

mod api;
mod drive;
mod planted;
mod setting;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::audit::records;
use crate::binary::until;
use api::FAILING;
use planted::{ANSWER, MARK, PROMPT};
use setting::Setting;

/// Everything that was told to anybody, by whom.
struct Told {
    audit: Vec<Value>,
    sink: Vec<Value>,
    rest: Vec<(&'static str, String)>,
}

async fn told(content: &str) -> Told {
    let setting = Setting::start(content).await;
    let answers = drive::everything(&setting).await;
    assert!(answers.good > 20 && answers.told.len() > 200);
    let mut managed = Vec::new();
    refused_configurations(&setting, &mut managed).await;
    for path in ["/status", "/metrics", "/readyz"] {
        managed.push(setting.gateway.managed(path).await.1);
    }
    // Each told something, or nothing would be proved.
    for name in FAILING.into_iter().chain(["ok", "dead"]) {
        let span = format!("chat {name}");
        assert!(setting.collector.span(&span).await.is_some(), "{span}");
        assert!(managed.iter().any(|text| text.contains(name)), "{name}");
    }
    setting.sink.take();
    until("the sink has everything", async || {
        let metrics = setting.gateway.managed("/metrics").await.1;
        let line = r#"claw_gateway_audit_sink_behind{sink="siem"} 0"#;
        metrics.contains(line).then_some(())
    })
    .await;
    let Setting {
        mut gateway,
        sink,
        collector,
        signer: _,
        _api: _,
    } = setting;
    gateway.signal("-TERM");
    assert_eq!(gateway.end().await.code(), Some(0));
    let log = gateway.log();
    for level in ["debug", "info", "warn"] {
        assert!(
            log.contains(&format!(r#""log.level":"{level}""#)),
            "{level}"
        );
    }
    let audit = records(gateway.folder.path(), &[]).await;
    let traces = String::from_utf8_lossy(&collector.bytes()).into_owned();
    Told {
        audit,
        sink: sink.records(),
        rest: vec![
            ("the log", log),
            ("the traces", traces),
            ("the management port", managed.join("\n")),
            ("an answer", answers.told.join("\n")),
        ],
    }
}

fn expect_nothing_planted(place: &str, text: &str) {
    let password = STANDARD.encode(format!("ada:{}", planted::PASSWORD));
    // In base64, the claims of tokens begin like this.
    for secret in [MARK, &password, "eyJhdWQi", "eyJhbGci"] {
        if let Some(at) = text.find(secret) {
            let (from, to) = (at.saturating_sub(300), (at + 100).min(text.len()));
            let around = String::from_utf8_lossy(&text.as_bytes()[from..to]);
            panic!("{place} tells a secret: {around}");
        }
    }
}

fn text(records: &[Value]) -> String {
    let lines: Vec<_> = records.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn expect_every_kind(records: &[Value]) {
    let field = |name: &str| -> BTreeSet<String> {
        let values = records.iter().filter_map(|record| record[name].as_str());
        values.map(str::to_owned).collect()
    };
    let reasons = field("event.reason");
    for reason in [
        "invalid_api_key",
        "invalid_request",
        "invalid_token",
        "body_too_large",
        "method_not_allowed",
        "model_not_found",
        "rate_limit_exceeded",
        "upstream_error",
        "upstream_interrupted",
        "upstream_malformed",
        "upstream_rate_limited",
        "upstream_rejected",
        "upstream_unreachable",
    ] {
        assert!(reasons.contains(reason), "{reason} is not in {reasons:?}");
    }
    let actions = field("event.action");
    for action in ["request", "channel-message", "configuration-refused"] {
        assert!(actions.contains(action), "{action} is not in {actions:?}");
    }
}

#[tokio::test]
async fn no_secret_and_nothing_said_is_told_to_anybody() {
    let told = told("Never").await;
    expect_every_kind(&told.audit);
    expect_nothing_planted("the audit log", &text(&told.audit));
    expect_nothing_planted("the sink", &text(&told.sink));
    for (place, text) in &told.rest {
        expect_nothing_planted(place, text);
    }
}

#[tokio::test]
async fn what_was_said_is_told_where_it_is_asked_for_and_nowhere_else() {
    let told = told("Full").await;
    for (place, records) in [("the audit log", &told.audit), ("the sink", &told.sink)] {
        let text = text(records);
        assert!(text.contains(PROMPT) && text.contains(ANSWER), "{place}");
        let said = text.replace(PROMPT, "").replace(ANSWER, "");
        expect_nothing_planted(place, &said);
    }
    for (place, text) in &told.rest {
        expect_nothing_planted(place, text);
    }
}

/// Configurations that are refused, and would like to say why.
async fn refused_configurations(setting: &Setting, told: &mut Vec<String>) {
    let good = json!({"stringData": {"k": "planted-k"}});
    let list = json!({"stringData": {"k": ["planted-in-a-list"]}});
    let plain = json!({"data": {"k": "planted-and-not-base64"}});
    let cases = [
        ("https://ada:planted-password@api.test/v1", &good),
        ("https://api.test/v1?key=planted-in-a-query", &good),
        ("ftp://api.test/v1?key=planted-in-a-query", &good),
        ("https://api.test/v1?key=planted-in-a-query#top", &good),
        ("//ada:planted-password@api.test", &good),
        ("https://[api?key=planted-in-a-query", &good),
        ("https://api.test/v1", &list),
        ("https://api.test/v1", &plain),
    ];
    for (number, (url, data)) in cases.into_iter().enumerate() {
        let before = setting.gateway.status().await["refusedConfig"].clone();
        let name = format!("far-{number}");
        let mut secret = data.clone();
        secret["apiVersion"] = "v1".into();
        secret["kind"] = "Secret".into();
        secret["metadata"] = json!({ "name": name });
        let credentials = json!({"secretKeyRef": {"name": name, "key": "k"}});
        let remote = json!({"provider": "OpenAI", "baseURL": url, "credentials": credentials});
        setting.configure(&remote, &secret);
        until(&format!("{url} and {name} are refused"), async || {
            let refused = setting.gateway.status().await["refusedConfig"].clone();
            (!refused.is_null() && refused != before).then_some(())
        })
        .await;
        told.push(setting.gateway.managed("/status").await.1);
    }
}
