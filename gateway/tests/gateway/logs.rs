//! What the log says, what it never says, and how much of it there is.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::binary::{Binary, client_builder, until};
use crate::upstream::Upstream;

const PROVIDER_KEY: &str = "planted-key-of-the-provider";
const CLIENT_KEY: &str = "planted-key-of-the-client";
const QUESTION: &str = "planted-question";

/// One gateway with two models: one answers, of the other one the API refuses the connection.
fn manifest(folder: &Path, upstream: &Upstream, log_level: &str) {
    let base_url = format!("http://{}/v1", upstream.address);
    let objects = [
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "shop"},
            "spec": {
                "tls": {"disabled": {}},
                "auth": {"apiKeys": {"selector": {"matchLabels": {"keys": "shop"}}}},
                "observability": {"logLevel": log_level},
                "outbound": {"allowedCIDRs": ["127.0.0.0/8"]},
                "models": [
                    {"name": "good", "remote": {
                        "provider": "OpenAI", "baseURL": base_url, "model": "good",
                        "credentials": {"secretKeyRef": {"name": "provider", "key": "token"}},
                    }},
                    {"name": "gone", "remote": {
                        "provider": "OpenAI", "baseURL": "http://127.0.0.1:9/v1", "model": "gone",
                        "credentials": {"secretKeyRef": {"name": "provider", "key": "token"}},
                    }},
                ],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "provider"},
            "stringData": {"token": PROVIDER_KEY},
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "clients", "labels": {"keys": "shop"}},
            "stringData": {"web": CLIENT_KEY},
        }),
    ];
    for (index, object) in objects.iter().enumerate() {
        // As an editor does it: never half a file.
        let next = folder.join("next");
        fs::write(&next, object.to_string()).expect("written");
        fs::rename(next, folder.join(format!("{index}.yaml"))).expect("replaced");
    }
}

async fn start(upstream: &Upstream) -> Binary {
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    manifest(&manifests, upstream, "Info");
    let arguments = ["--manifests".to_owned(), manifests.display().to_string()];
    Binary::start_in(folder, &arguments).await
}

/// Status, request id and body of a question.
async fn ask(gateway: &Binary, model: &str, key: &str, id: &str) -> (u16, String, String) {
    let body = json!({"model": model, "messages": [{"role": "user", "content": QUESTION}]});
    let client = client_builder().build().expect("a client");
    let response = client
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(key)
        .header("x-request-id", id)
        .body(body.to_string())
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    (status, id, response.text().await.expect("text"))
}

fn lines(gateway: &Binary) -> Vec<Value> {
    let log = gateway.log();
    // The last line may be half written.
    let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The line of a request.
async fn line_of(gateway: &Binary, id: &str) -> Value {
    until("the request is logged", async || {
        lines(gateway)
            .into_iter()
            .find(|line| line["message"] == "request" && line["http.request.id"] == id)
    })
    .await
}

#[tokio::test]
async fn a_request_is_one_line_under_the_id_that_its_client_got() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let (status, id, _) = ask(&gateway, "good", CLIENT_KEY, "r-1").await;
    assert_eq!((status, id.as_str()), (200, "r-1"));
    let line = line_of(&gateway, "r-1").await;
    for (field, expected) in [
        ("log.level", json!("info")),
        ("service.name", json!("clawdbot")),
        ("http.request.method", json!("POST")),
        ("http.response.status_code", json!(200)),
        ("url.path", json!("/v1/chat/completions")),
        ("user.name", json!("clients/web")),
        ("claw.model", json!("good")),
        ("claw.complete", json!(true)),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    assert!(line["event.duration"].as_u64() > Some(0), "{line}");
}

#[tokio::test]
async fn no_secret_is_told_to_anybody() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let mut told = Vec::new();
    for (model, key, id) in [
        ("good", CLIENT_KEY, "r-1"),
        ("gone", CLIENT_KEY, "r-2"),
        ("none", CLIENT_KEY, "r-3"),
        ("good", "planted-key-of-a-stranger", "r-4"),
    ] {
        let (_, _, body) = ask(&gateway, model, key, id).await;
        line_of(&gateway, id).await;
        told.push(body);
    }
    told.push(gateway.log());
    for path in ["/status", "/metrics", "/readyz"] {
        told.push(gateway.managed(path).await.1);
    }
    for text in told {
        assert!(!text.contains("planted"), "{text}");
    }
}

#[tokio::test]
async fn the_level_follows_the_configuration() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    ask(&gateway, "good", CLIENT_KEY, "loud").await;
    line_of(&gateway, "loud").await;
    let hash = async || gateway.status().await["config"]["hash"].clone();
    let before = hash().await;
    manifest(&gateway.path("manifests"), &upstream, "Error");
    until("the new level is in force", async || {
        (hash().await != before).then_some(())
    })
    .await;
    ask(&gateway, "good", CLIENT_KEY, "quiet").await;
    manifest(&gateway.path("manifests"), &upstream, "Debug");
    until("a debug line is written", async || {
        ask(&gateway, "good", CLIENT_KEY, "loud-again").await;
        let is_there = |line: &Value| line["http.request.id"] == "loud-again";
        lines(&gateway).iter().any(is_there).then_some(())
    })
    .await;
    let is_quiet = |line: &Value| line["http.request.id"] == "quiet";
    assert!(!lines(&gateway).iter().any(is_quiet), "{}", gateway.log());
}
