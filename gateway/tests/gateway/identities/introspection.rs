//! Tokens that a server is asked about.

use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{answer, folder, gateway, secret, start};
use crate::binary::{Binary, KEY, client_builder};
use crate::upstream::Upstream;

async fn knows(server: &MockServer, token: &str, answer: Value) {
    Mock::given(method("POST"))
        .and(body_string_contains(format!("token={token}&")))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(server)
        .await;
}

async fn models(gateway: &Binary, token: &str) -> (u16, Value) {
    let request = gateway.client.get(gateway.url("/v1/models"));
    let (status, error, _) = answer(request.bearer_auth(token)).await;
    (status, error["code"].clone())
}

#[tokio::test]
async fn a_server_says_whose_tokens_are_good_and_nobody_is_let_in_without_it() {
    let (upstream, server) = (Upstream::start().await, MockServer::start().await);
    knows(
        &server,
        "opaque-good",
        json!({"active": true, "client_id": "app"}),
    )
    .await;
    knows(&server, "opaque-old", json!({"active": false})).await;
    let spec = json!({"auth": {"introspection": {
        "url": format!("{}/introspect", server.uri()),
        "clientID": "gateway",
        "clientSecret": {"secretKeyRef": {"name": "oauth", "key": "secret"}},
    }}});
    let objects = [
        gateway(&upstream, spec),
        secret("oauth", &json!({"secret": "s3cret-of-the-client"})),
    ];
    let client = client_builder().build().expect("a client");
    let gateway = start(folder(&objects), ("http", client)).await;
    assert_eq!(models(&gateway, "opaque-good").await.0, 200);
    assert_eq!(
        models(&gateway, "opaque-old").await,
        (401, json!("invalid_token"))
    );
    assert_eq!(models(&gateway, KEY).await.0, 200, "API keys come first");

    server.reset().await;
    assert_eq!(models(&gateway, "opaque-good").await.0, 200, "remembered");
    assert_eq!(
        models(&gateway, "opaque-new").await,
        (503, json!("identity_unavailable"))
    );
    let request = gateway.client.get(gateway.url("/v1/models"));
    let response = request
        .bearer_auth("opaque-new")
        .send()
        .await
        .expect("an answer");
    assert!(response.headers().contains_key("retry-after"));
    let log = gateway.log();
    assert!(log.contains("nobody can be asked about tokens"), "{log}");
    for planted in ["opaque-", "s3cret-of-the-client"] {
        assert!(!log.contains(planted), "{planted} is in {log}");
    }
}
