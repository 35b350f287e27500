//! What a scrape finds, against the catalog of metrics.

use std::fs;
use std::path::Path;

use claw_crds::metric_catalog::{Metric, gateway, process, scrape};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::binary::{Binary, KEY, chat, events, stream, until};
use crate::upstream::Upstream;

/// A gateway with a bit of everything; `path` is that of its route.
fn manifests(upstream: &Upstream, path: &str) -> String {
    let base = format!("http://{}/v1", upstream.address);
    [
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
            "spec": {
                "size": "Small",
                "tls": {"disabled": {}},
                "state": {
                    "sqlite": {},
                    "encryption": {"keys": [{"secretKeyRef": {"name": "state", "key": "newest"}}]},
                },
                "audit": {"sinks": [{"name": "siem", "http": {"url": base}}]},
                "auth": {"apiKeys": {"selector": {"matchLabels": {"claw.dev/api-keys": "desk"}}}},
                "models": [
                    {"name": "good", "remote": {
                        "provider": "OpenAI", "baseURL": base, "model": "good",
                        "credentials": {"secretKeyRefs": [{"name": "far", "key": "a"}, {"name": "far", "key": "b"}]},
                    }},
                    {"name": "broken", "remote": {"provider": "OpenAI", "baseURL": base, "model": "broken"}},
                    {
                        "name": "metered", "limits": {"tokensPerMinute": 1},
                        "remote": {"provider": "OpenAI", "baseURL": base, "model": "good"},
                    },
                    {"name": "lost", "local": {"source": {"path": "/nonexistent"}}},
                ],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "far"},
            "stringData": {"a": "key-a", "b": "key-b"},
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "state"},
            "stringData": {"newest": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},
        }),
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "desk"},
            "spec": {
                "gatewayRef": {"name": "desk"},
                "routes": [{
                    "pattern": path, "model": "broken", "fallback": "good",
                    // The fifth failure in a row gives a rest, so that the fifth repetition is refused.
                    "retries": {"attempts": 5, "backoff": "10ms"},
                }],
            },
        }),
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "web"},
            "spec": {
                "gatewayRef": {"name": "desk"}, "model": "good", "webSocket": {}, "access": {"direct": "Open"},
            },
        }),
    ]
    .map(|object| object.to_string())
    .join("\n---\n")
}

fn put(folder: &Path, text: &str) {
    fs::write(folder.join("draft"), text).expect("written");
    fs::rename(folder.join("draft"), folder.join("all.yaml")).expect("replaced");
}

async fn start(upstream: &Upstream) -> Binary {
    let folder = tempfile::tempdir().expect("a folder");
    let manifests_folder = folder.path().join("manifests");
    fs::create_dir(&manifests_folder).expect("a folder");
    put(&manifests_folder, &manifests(upstream, "^/first$"));
    let arguments = [
        "--manifests".to_owned(),
        manifests_folder.display().to_string(),
    ];
    Binary::start_in(folder, &arguments).await
}

/// One message over the WebSocket, up to its answer.
async fn talk(gateway: &Binary) {
    let url = format!("ws://{}/channels/web", gateway.address);
    let mut request = url.into_client_request().expect("a request");
    let key = format!("Bearer {KEY}").parse().expect("a value");
    request.headers_mut().insert("authorization", key);
    let connect = Box::pin(tokio_tungstenite::connect_async(request));
    let (mut socket, _) = connect.await.expect("an upgrade");
    let ask = json!({"type": "message", "id": "1", "text": "hi"}).to_string();
    socket.send(Message::text(ask)).await.expect("sent");
    loop {
        let frame = socket.next().await.expect("a frame").expect("a frame");
        if frame
            .into_text()
            .expect("text")
            .contains(r#""type":"done""#)
        {
            break;
        }
    }
    socket.close(None).await.expect("closed");
}

#[tokio::test]
async fn a_running_gateway_exports_the_whole_catalog_and_nothing_else() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    assert_eq!(gateway.ask("/first", &chat("good")).await.0, 200);
    put(
        &gateway.path("manifests"),
        &manifests(&upstream, "^/second$"),
    );
    until("the change is taken", async || {
        (gateway.ask("/second", &chat("good")).await.0 == 200).then_some(())
    })
    .await;
    let streamed = gateway
        .chat("/v1/chat/completions", &stream("good"))
        .send()
        .await
        .expect("an answer");
    assert!(!events(streamed).await.is_empty());
    talk(&gateway).await;
    assert_ne!(
        gateway
            .ask("/v1/chat/completions", &chat("metered"))
            .await
            .0,
        200
    );
    let stranger = gateway.client.get(gateway.url("/v1/models")).send().await;
    assert_eq!(stranger.expect("an answer").status(), 401);
    let text = until("the message and the store are counted", async || {
        let (_, text) = gateway.managed("/metrics").await;
        let is_counted = |metric: &Metric| text.contains(&format!("\n{}{{", metric.name));
        [
            gateway::CHANNEL_MESSAGES,
            gateway::STORE_WRITABLE,
            gateway::STATE_ENCRYPTED,
        ]
        .iter()
        .all(is_counted)
        .then_some(text)
    })
    .await;
    let mut found = scrape::found(&text);
    // The one that only a gateway with TLS has.
    let secure = crate::tls::start(&upstream).await.0;
    let mut of_secure = scrape::found(&secure.managed("/metrics").await.1);
    let expiry = of_secure
        .remove_entry(gateway::CERTIFICATE_EXPIRY.name)
        .expect("the end of the certificate");
    found.extend([expiry]);
    let catalog = [gateway::ALL, process::ALL].into_iter().flatten();
    assert_eq!(found, scrape::promised(catalog));
    for state in ["failed", "ready"] {
        let count = i32::from(state == "failed");
        let line = format!(r#"claw_gateway_model_state{{model="lost",state="{state}"}} {count}"#);
        until("the lost model failed", async || {
            let (_, text) = gateway.managed("/metrics").await;
            text.contains(&line).then_some(())
        })
        .await;
    }
}
