//! Where audit records are sent, from the real program to receivers of each kind: all of them arrive, whoever is away or
//! killed in between.

mod archive;
pub(crate) mod receiver;
mod syslog;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::audit::{expect_whole, records};
use crate::binary::{Binary, KEY, until};
use receiver::HttpReceiver;
use syslog::SyslogReceiver;

const TOKEN: &str = "planted-token";

/// A folder of manifests with these sinks, and the Secrets that they refer to.
fn folder(sinks: &Value, secrets: &[Value]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("manifests")).expect("a folder");
    write(folder.path(), sinks, secrets);
    folder
}

fn write(folder: &Path, sinks: &Value, secrets: &[Value]) {
    write_audit(folder, &json!({ "sinks": sinks }), secrets);
}

/// A folder of manifests with this audit log, before this API.
pub(crate) fn audited(audit: &Value, far: &Value) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("manifests")).expect("a folder");
    write_gateway(folder.path(), audit, far, &[]);
    folder
}

fn write_audit(folder: &Path, audit: &Value, secrets: &[Value]) {
    write_gateway(folder, audit, &json!("http://127.0.0.1:9/v1"), secrets);
}

fn write_gateway(folder: &Path, audit: &Value, far: &Value, secrets: &[Value]) {
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}},
            "auth": {"anonymous": {}},
            "models": [{"name": "far", "remote": {"provider": "OpenAI", "baseURL": far}}],
            "outbound": {"allowedHosts": ["localhost"]},
            "audit": audit,
        },
    });
    let objects: Vec<_> = std::iter::once(&gateway).chain(secrets).collect();
    let text: Vec<_> = objects.iter().map(ToString::to_string).collect();
    let manifests = folder.join("manifests");
    fs::write(folder.join("next"), text.join("\n---\n")).expect("written");
    fs::rename(folder.join("next"), manifests.join("all.yaml")).expect("replaced");
}

fn secret(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

fn token() -> Value {
    secret("siem", &json!({"token": TOKEN}))
}

fn http_sink(receiver: &HttpReceiver) -> Value {
    json!({"name": "siem", "http": {
        "url": format!("{}/ingest", receiver.url()),
        "bearerToken": {"secretKeyRef": {"name": "siem", "key": "token"}},
    }})
}

pub(crate) async fn start(folder: TempDir) -> Binary {
    let manifests = folder.path().join("manifests").display().to_string();
    Binary::start_in(folder, &["--manifests".to_owned(), manifests]).await
}

async fn ask(gateway: &Binary, times: usize) {
    for _ in 0..times {
        assert_eq!(models(gateway).await.status(), 200);
    }
}

/// Something that is recorded.
async fn models(gateway: &Binary) -> reqwest::Response {
    let request = gateway.client.get(gateway.url("/v1/models"));
    let response = request.bearer_auth(KEY).send().await;
    response.expect("an answer")
}

fn numbers(records: &[Value]) -> BTreeSet<u64> {
    let numbers = records
        .iter()
        .map(|record| record["event.sequence"].as_u64());
    numbers.map(|number| number.expect("a number")).collect()
}

/// Everything in the log has arrived as it is there, and the log is whole.
async fn expect_all(folder: &Path, arrived: &[Value]) {
    expect_whole(folder).await;
    let log = records(folder, &[]).await;
    for record in &log {
        assert!(arrived.contains(record), "{record} has not arrived");
    }
    assert_eq!(numbers(arrived), numbers(&log));
}

async fn wait_for(gateway: &Binary, what: &str, arrived: impl Fn() -> Vec<Value>) {
    until(what, async || {
        let last = gateway.status().await["audit"]["acknowledged"].as_u64();
        let last = last.expect("a number");
        let numbers = numbers(&arrived());
        // Nothing is acknowledged before the log is open.
        (last > 0 && numbers.len() as u64 >= last).then_some(())
    })
    .await;
}

async fn stop(mut gateway: Binary) -> TempDir {
    gateway.signal("-TERM");
    assert_eq!(gateway.end().await.code(), Some(0));
    gateway.into_folder()
}

#[tokio::test]
async fn http_takes_lines_and_wants_its_token() {
    let receiver = HttpReceiver::start(Some(TOKEN)).await;
    let gateway = start(folder(&json!([http_sink(&receiver)]), &[token()])).await;
    ask(&gateway, 20).await;
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    // The receiver has them before its answer is here.
    let metrics = until("no record is behind", async || {
        let (_, metrics) = gateway.managed("/metrics").await;
        let behind = r#"claw_gateway_audit_sink_behind{sink="siem"} 0"#;
        metrics.contains(behind).then_some(metrics)
    })
    .await;
    let failures = r#"claw_gateway_audit_sink_failures_total{sink="siem"} 0"#;
    assert!(metrics.contains(failures), "{failures} is not in {metrics}");
    let status = gateway.status().await.to_string();
    // Stopping hands over the last record as well.
    let log = gateway.path("log");
    let folder = stop(gateway).await;
    expect_all(folder.path(), &receiver.records()).await;
    let log = fs::read_to_string(log).expect("a log");
    for text in [log, status, metrics, json!(receiver.records()).to_string()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn what_http_missed_comes_later() {
    let receiver = HttpReceiver::start(Some(TOKEN)).await;
    let gateway = start(folder(&json!([http_sink(&receiver)]), &[token()])).await;
    receiver.refuse(503);
    ask(&gateway, 30).await;
    let sink = until("the fault is told", async || {
        let sink = gateway.status().await["audit"]["sinks"][0].clone();
        sink["fault"].is_string().then_some(sink)
    })
    .await;
    assert_eq!(sink["fault"], "the receiver answered 503");
    assert_eq!(sink["blocking"], false);
    receiver.take();
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    let folder = stop(gateway).await;
    expect_all(folder.path(), &receiver.records()).await;
}

#[tokio::test]
async fn a_receiver_of_small_bodies_gets_small_ones() {
    let receiver = HttpReceiver::start(None).await;
    receiver.limit(2000);
    let sink = json!({"name": "siem", "http": {"url": receiver.url()}});
    let gateway = start(folder(&json!([sink]), &[])).await;
    ask(&gateway, 30).await;
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    let folder = stop(gateway).await;
    expect_all(folder.path(), &receiver.records()).await;
}

#[tokio::test]
async fn otlp_takes_logs() {
    let receiver = HttpReceiver::start(None).await;
    let sink = json!({"name": "collector", "otlp": {"endpoint": receiver.url()}});
    let gateway = start(folder(&json!([sink]), &[])).await;
    ask(&gateway, 5).await;
    receiver.refuse(503);
    ask(&gateway, 5).await;
    receiver.take();
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    let folder = stop(gateway).await;
    expect_all(folder.path(), &receiver.records()).await;
    let log = receiver.log("request").expect("a log of a request");
    assert_eq!(log.event_name, "claw.audit.request");
    assert!(log.time_unix_nano > 0);
}

fn syslog_sink(receiver: &SyslogReceiver) -> (Value, [Value; 2]) {
    let sink = json!({"name": "syslog", "syslog": {
        "host": "localhost", "port": receiver.port(),
        "tls": {
            "caCertificate": {"secretKeyRef": {"name": "authority", "key": "ca.crt"}},
            "clientCertificate": {"name": "client"},
        },
    }});
    let (authority, certificate, key) = receiver.pem();
    let secrets = [
        secret("authority", &json!({"ca.crt": authority})),
        secret("client", &json!({"tls.crt": certificate, "tls.key": key})),
    ];
    (sink, secrets)
}

#[tokio::test]
async fn syslog_shows_its_certificate_and_repeats_what_a_broken_connection_may_have_lost() {
    let mut receiver = SyslogReceiver::start().await;
    let (sink, secrets) = syslog_sink(&receiver);
    let gateway = start(folder(&json!([sink]), &secrets)).await;
    ask(&gateway, 20).await;
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    receiver.kill().await;
    let cursor = gateway.path("state").join("audit/chain-0/sink-syslog.json");
    let cursor = fs::read(cursor).map_or(Value::Null, |cursor| {
        serde_json::from_slice(&cursor).expect("JSON")
    });
    receiver.forget_after(cursor["delivered"].as_u64().unwrap_or_default());
    ask(&gateway, 20).await;
    receiver.revive().await;
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    let folder = stop(gateway).await;
    expect_all(folder.path(), &receiver.records()).await;
    let header = receiver.headers().pop().expect("a message");
    assert!(
        header.starts_with("<109>1 ") && header.contains(" clawdbot "),
        "{header}"
    );
}

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let receiver = SyslogReceiver::start().await;
    let (sink, [_, client]) = syslog_sink(&receiver);
    let stranger = SyslogReceiver::start().await;
    let authority = secret("authority", &json!({"ca.crt": stranger.pem().0}));
    let gateway = start(folder(&json!([sink]), &[authority, client])).await;
    let fault = until("the fault is told", async || {
        let sink = gateway.status().await["audit"]["sinks"][0].clone();
        sink["fault"].as_str().map(str::to_owned)
    })
    .await;
    assert!(fault.contains("certificate"), "{fault}");
    assert_eq!(receiver.records(), Vec::<Value>::new());
}

/// Load, and a kill in the middle of it, again and again.
async fn kills(mut folder: TempDir, rounds: usize, arrived: impl Fn() -> Vec<Value>) {
    for round in 1..=rounds {
        fs::remove_file(folder.path().join("ports.json")).ok();
        let mut gateway = start(folder).await;
        let mut load = JoinSet::new();
        for _ in 0..4 {
            let (client, url) = (gateway.client.clone(), gateway.url("/v1/models"));
            load.spawn(
                async move { while client.get(&url).bearer_auth(KEY).send().await.is_ok() {} },
            );
        }
        let enough = arrived().len() + 50 * round;
        until("records arrive", async || {
            (arrived().len() >= enough).then_some(())
        })
        .await;
        gateway.signal("-KILL");
        gateway.end().await;
        load.join_all().await;
        folder = gateway.into_folder();
        expect_whole(folder.path()).await;
    }
    fs::remove_file(folder.path().join("ports.json")).ok();
    let gateway = start(folder).await;
    wait_for(&gateway, "records arrive", &arrived).await;
    let folder = stop(gateway).await;
    expect_all(folder.path(), &arrived()).await;
}

#[tokio::test]
async fn kills_lose_no_record_on_the_way_to_http() {
    let receiver = HttpReceiver::start(Some(TOKEN)).await;
    let folder = folder(&json!([http_sink(&receiver)]), &[token()]);
    kills(folder, 5, || receiver.records()).await;
}

#[tokio::test]
async fn kills_lose_no_record_on_the_way_to_syslog() {
    let receiver = SyslogReceiver::start().await;
    let (sink, secrets) = syslog_sink(&receiver);
    kills(folder(&json!([sink]), &secrets), 3, || receiver.records()).await;
}

#[tokio::test]
async fn a_sink_that_must_not_be_missed_blocks_until_it_has_caught_up() {
    let receiver = HttpReceiver::start(Some(TOKEN)).await;
    let mut sink = http_sink(&receiver);
    sink["onFailure"] = "Block".into();
    sink["maxBehind"] = 100.into();
    let gateway = start(folder(&json!([sink]), &[token()])).await;
    ask(&gateway, 1).await;
    wait_for(&gateway, "records arrive", || receiver.records()).await;
    receiver.refuse(500);
    let refused = until("requests are refused", async || {
        let response = models(&gateway).await;
        (response.status() == 503).then_some(response)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "audit_unavailable");
    let sink = gateway.status().await["audit"]["sinks"][0].clone();
    assert_eq!(sink["blocking"], true);
    assert!(sink["behind"].as_u64() > Some(100), "{sink}");
    receiver.take();
    until("requests are served", async || {
        (models(&gateway).await.status() == 200).then_some(())
    })
    .await;
    let folder = stop(gateway).await;
    expect_all(folder.path(), &receiver.records()).await;
}

#[tokio::test]
async fn a_sink_comes_and_goes_while_the_others_go_on() {
    let (first, second) = (
        HttpReceiver::start(None).await,
        HttpReceiver::start(None).await,
    );
    let sink = |name: &str, receiver: &HttpReceiver| json!({"name": name, "http": {"url": receiver.url()}});
    let folder = folder(&json!([sink("first", &first)]), &[]);
    let gateway = start(folder).await;
    ask(&gateway, 10).await;
    write(
        gateway.folder.path(),
        &json!([sink("first", &first), sink("second", &second)]),
        &[],
    );
    // From the beginning of what is kept.
    wait_for(&gateway, "all records arrive", || second.records()).await;
    write(
        gateway.folder.path(),
        &json!([sink("second", &second)]),
        &[],
    );
    until("the first is gone", async || {
        let (_, metrics) = gateway.managed("/metrics").await;
        (!metrics.contains(r#"sink="first""#)).then_some(())
    })
    .await;
    let last = first.records().len();
    ask(&gateway, 10).await;
    wait_for(&gateway, "records arrive", || second.records()).await;
    assert_eq!(first.records().len(), last);
    let folder = stop(gateway).await;
    expect_all(folder.path(), &second.records()).await;
}
