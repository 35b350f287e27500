//! Signed tokens.

use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

use super::issuer::{ISSUER, Signer, keys, publish};
use super::{answer, folder, gateway, start, write};
use crate::binary::{Binary, chat, client_builder, until};
use crate::upstream::Upstream;

fn auth(jwks: &Value) -> Value {
    json!({"jwt": [{
        "name": "corp",
        "issuer": ISSUER,
        "audiences": ["claw"],
        "jwks": jwks,
        "claims": {"models": "models", "required": [{"claim": "groups", "contains": "chat"}]},
    }]})
}

fn good() -> Value {
    json!({"groups": ["chat"], "models": "good"})
}

async fn models(gateway: &Binary, token: &str) -> (u16, Value, String) {
    answer(
        gateway
            .client
            .get(gateway.url("/v1/models"))
            .bearer_auth(token),
    )
    .await
}

fn client() -> (&'static str, reqwest::Client) {
    ("http", client_builder().build().expect("a client"))
}

#[tokio::test]
async fn keys_are_rotated_and_outlive_an_outage() {
    let (upstream, server) = (Upstream::start().await, MockServer::start().await);
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    publish(&server, keys(&[&old])).await;
    let url = format!("{}/keys", server.uri());
    let spec = json!({"auth": auth(&json!({"url": url}))});
    let gateway = start(folder(&[gateway(&upstream, spec)]), client()).await;
    assert_eq!(models(&gateway, &old.token("ada", &good())).await.0, 200);

    publish(&server, keys(&[&new])).await;
    until("the new key is known", async || {
        let (status, ..) = models(&gateway, &new.token("ada", &good())).await;
        (status == 200).then_some(())
    })
    .await;
    let (status, error, challenge) = models(&gateway, &old.token("ada", &good())).await;
    assert_eq!((status, &error["code"]), (401, &json!("invalid_token")));
    assert!(
        challenge.starts_with("Bearer realm=\"claw\", error=\"invalid_token\", error_description="),
        "{challenge}"
    );

    publish(&server, ResponseTemplate::new(500)).await;
    assert_eq!(models(&gateway, &new.token("bob", &good())).await.0, 200);
}

#[tokio::test]
async fn a_token_admits_to_what_it_says() {
    let upstream = Upstream::start().await;
    let signer = Signer::new("one");
    let set = json!({"keys": [signer.jwk()]}).to_string();
    let spec = json!({"auth": auth(&json!({"inline": set}))});
    let gateway = start(folder(&[gateway(&upstream, spec)]), client()).await;
    let token = signer.token("ada", &good());
    let ask = async |model: &str| {
        let request = gateway.client.post(gateway.url("/v1/chat/completions"));
        answer(request.bearer_auth(&token).json(&chat(model)))
            .await
            .0
    };
    assert_eq!((ask("good").await, ask("other").await), (200, 404));

    let told = async |claims: Value| models(&gateway, &signer.token("ada", &claims)).await;
    let (status, error, _) = told(json!({"groups": ["mail"], "models": "good"})).await;
    assert_eq!((status, &error["code"]), (401, &json!("invalid_token")));
    assert_eq!(
        error["message"],
        "the token's claim `groups` is absent or not what this gateway requires"
    );
    let (_, error, _) = told(json!({"aud": "billing"})).await;
    assert_eq!(error["message"], "the token is for another audience");
    let (_, error, challenge) = told(json!({"exp": 1})).await;
    assert_eq!(error["message"], "the token has expired: get a new one");
    assert!(challenge.ends_with("error_description=\"the token has expired: get a new one\""));
    let stranger = Signer::new("one").token("ada", &good());
    let (status, error, _) = models(&gateway, &stranger).await;
    assert_eq!((status, &error["code"]), (401, &json!("invalid_token")));
    let metrics = gateway.managed("/metrics").await.1;
    for reason in [
        "token_claim",
        "token_audience",
        "token_expired",
        "token_signature",
    ] {
        let line = format!("claw_gateway_auth_refusals_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn callers_are_limited_by_name_and_shut_out_with_their_issuer() {
    let upstream = Upstream::start().await;
    let signer = Signer::new("one");
    let set = json!({"keys": [signer.jwk()]}).to_string();
    let limits = json!({"perKey": {"requestsPerMinute": 2}});
    let spec = json!({"auth": auth(&json!({"inline": set})), "limits": limits});
    let object = super::gateway(&upstream, spec);
    let gateway = start(folder(std::slice::from_ref(&object)), client()).await;
    let ask = async |sub: &str| {
        let request = gateway.client.post(gateway.url("/v1/chat/completions"));
        let token = signer.token(sub, &good());
        answer(request.bearer_auth(token).json(&chat("good")))
            .await
            .0
    };
    // Two in each of at most two minutes of the clock.
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(ask("ada").await);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask("bob").await, 200);

    let mut changed = object;
    changed["spec"]["auth"]["jwt"][0]["issuer"] = "https://other.example.com".into();
    write(gateway.folder.path(), 0, &changed);
    let token = signer.token("bob", &good());
    until("the issuer is not accepted any more", async || {
        let (status, error, _) = models(&gateway, &token).await;
        (status == 401 && error["code"] == "invalid_token").then_some(())
    })
    .await;
}
