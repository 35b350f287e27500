//! Who is let in, and to what: keys with attributes, addresses, guesses.

use std::fs;

use serde_json::{Value, json};

use crate::binary::{Binary, chat, client_builder};
use crate::upstream::Upstream;

const FREE: &str = "key-that-may-do-everything-0123";
const NARROW: &str = "key-that-may-do-little-01234567";
const EXPIRED: &str = "key-that-was-good-once-01234567";
const ELSEWHERE: &str = "key-for-another-place-012345678";
const BROKEN: &str = "key-with-a-broken-note-01234567";

fn secret(name: &str, key: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"use": "keys"}, "annotations": annotations},
        "stringData": {"k": key},
    })
}

/// A gateway with the models `good` and `other` and a key of each kind; `spec` is put over its own.
async fn start(upstream: &Upstream, spec: Value) -> Binary {
    start_with(upstream, spec, &[]).await
}

/// The same with more objects.
async fn start_with(upstream: &Upstream, spec: Value, more: &[Value]) -> Binary {
    let base = format!("http://{}/v1", upstream.address);
    let remote = |name: &str| json!({"name": name, "remote": {"provider": "OpenAI", "baseURL": base, "model": "good"}});
    let mut gateway = json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}},
            "auth": {"apiKeys": {"selector": {"matchLabels": {"use": "keys"}}}},
            "models": [remote("good"), remote("other")],
        },
    });
    for (field, value) in spec.as_object().expect("an object") {
        gateway["spec"][field] = value.clone();
    }
    let objects = [
        gateway,
        secret("free", FREE, &json!({})),
        secret(
            "narrow",
            NARROW,
            &json!({
                "keys.claw.dev/owner": "team web",
                "keys.claw.dev/allowed-models": "good",
                "keys.claw.dev/allowed-paths": "/v1/*",
            }),
        ),
        secret(
            "expired",
            EXPIRED,
            &json!({"keys.claw.dev/expires": "2026-01-31T00:00:00Z"}),
        ),
        secret(
            "elsewhere",
            ELSEWHERE,
            &json!({"keys.claw.dev/allowed-cidrs": "10.0.0.0/8"}),
        ),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    for (index, object) in objects.iter().chain(more).enumerate() {
        fs::write(manifests.join(format!("{index}.json")), object.to_string()).expect("written");
    }
    let client = client_builder().build().expect("a client");
    let arguments = ["--manifests".to_owned(), manifests.display().to_string()];
    Binary::start_with(folder, &arguments, ("http", client)).await
}

async fn get(gateway: &Binary, path: &str, key: &str) -> (u16, Value) {
    let request = gateway.client.get(gateway.url(path)).bearer_auth(key);
    let response = request.send().await.expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

async fn ask(gateway: &Binary, path: &str, model: &str, key: &str) -> (u16, Value) {
    let request = gateway.client.post(gateway.url(path)).bearer_auth(key);
    let response = request.json(&chat(model)).send().await.expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

#[tokio::test]
async fn a_key_may_do_what_its_annotations_say() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream, json!({})).await;
    let chat = "/v1/chat/completions";
    assert_eq!(ask(&gateway, chat, "other", FREE).await.0, 200);
    assert_eq!(ask(&gateway, chat, "good", NARROW).await.0, 200);
    let (status, answer) = ask(&gateway, chat, "other", NARROW).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.ends_with("known models are `good`"), "{message}");

    let count = "/v1/messages/count_tokens";
    assert_eq!(ask(&gateway, count, "other", FREE).await.0, 200);
    assert_eq!(ask(&gateway, count, "other", NARROW).await.0, 404);

    let listed = |answer: Value| {
        let models = answer["data"].as_array().expect("a list").clone();
        models
            .iter()
            .map(|model| model["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        listed(get(&gateway, "/v1/models", FREE).await.1),
        ["good", "other"]
    );
    assert_eq!(
        listed(get(&gateway, "/v1/models", NARROW).await.1),
        ["good"]
    );
    assert_eq!(get(&gateway, "/v1/models/good", NARROW).await.0, 200);
    assert_eq!(get(&gateway, "/v1/models/other", NARROW).await.0, 404);
    assert_eq!(get(&gateway, "/elsewhere", NARROW).await.0, 403);
    assert_eq!(get(&gateway, "/v1/models", ELSEWHERE).await.0, 403);

    let (status, answer) = get(&gateway, "/v1/models", EXPIRED).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (401, &json!("credential_expired"))
    );
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.contains("2026-01-31T00:00:00Z"), "{message}");

    let request = gateway.client.get(gateway.url("/v1/models"));
    let response = request
        .header("x-api-key", FREE)
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        response.status(),
        200,
        "where Anthropic's clients put the key"
    );

    let metrics = gateway.managed("/metrics").await.1;
    for reason in ["expired", "address", "path"] {
        let line = format!("claw_gateway_auth_refusals_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn a_key_is_held_to_its_own_limits() {
    let upstream = Upstream::start().await;
    let limited = "key-that-may-call-twice-0123456";
    let annotations = json!({"keys.claw.dev/requests-per-minute": "2"});
    let more = secret("limited", limited, &annotations);
    let gateway = start_with(&upstream, json!({"state": {"sqlite": {}}}), &[more]).await;
    let chat = "/v1/chat/completions";
    // Two in each of at most two minutes of the clock.
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(ask(&gateway, chat, "good", limited).await.0);
    }
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask(&gateway, chat, "good", FREE).await.0, 200);
}

#[tokio::test]
async fn a_folder_whose_key_has_a_broken_note_is_refused_without_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let note = json!({"keys.claw.dev/allowed-model": "good"});
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}},
            "auth": {"apiKeys": {"selector": {"matchLabels": {"use": "keys"}}}},
            "models": [{"name": "m", "local": {"source": {"path": "/m"}}}],
        },
    });
    fs::write(folder.path().join("a.json"), gateway.to_string()).expect("written");
    let broken = secret("broken", BROKEN, &note).to_string();
    fs::write(folder.path().join("b.json"), broken).expect("written");
    let output = crate::binary::command(folder.path())
        .args([
            "gateway",
            "--port",
            "0",
            "--management-port",
            "0",
            "--manifests",
        ])
        .arg(folder.path())
        .output()
        .await
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("keys.claw.dev/allowed-model"), "{told}");
    assert!(!told.contains(BROKEN), "{told}");
}

#[tokio::test]
async fn only_listed_addresses_are_served_and_only_trusted_proxies_name_others() {
    let upstream = Upstream::start().await;
    let status = async |gateway: &Binary, forwarded: Option<&str>| {
        let mut request = gateway
            .client
            .get(gateway.url("/v1/models"))
            .bearer_auth(FREE);
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let list = json!({"ipAllowList": ["192.0.2.0/24"]});
    let closed = start(&upstream, list).await;
    assert_eq!(status(&closed, None).await, 403);
    assert_eq!(
        status(&closed, Some("192.0.2.7")).await,
        403,
        "nobody trusts the client"
    );
    let list =
        json!({"ipAllowList": ["192.0.2.0/24"], "trustedProxies": ["127.0.0.0/8", "::1/128"]});
    let proxied = start(&upstream, list).await;
    assert_eq!(status(&proxied, Some("192.0.2.7")).await, 200);
    assert_eq!(status(&proxied, Some("192.0.2.7, 198.51.100.1")).await, 403);
    assert_eq!(status(&proxied, None).await, 403);
    let metrics = proxied.managed("/metrics").await.1;
    assert!(
        metrics.contains("claw_gateway_auth_refusals_total{reason=\"ip_allow_list\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn guesses_are_slowed_while_a_known_key_goes_on() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream, json!({})).await;
    assert_eq!(get(&gateway, "/v1/models", FREE).await.0, 200);
    let mut last = (0, Value::Null);
    for guess in 0..12 {
        last = get(&gateway, "/v1/models", &format!("guess-{guess}")).await;
    }
    assert_eq!(
        (last.0, &last.1["error"]["code"]),
        (429, &json!("too_many_failures"))
    );
    assert_eq!(get(&gateway, "/v1/models", FREE).await.0, 200);
}
