//! Who may open a WebSocket, and how they show who they are.

use claw_crds::gateway_config::{AuthConfig, DirectAccess};
use clawdbot::channel::Settings;
use http::StatusCode;
use rstest::rstest;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Error;

use crate::gateway::{Gateway, KEY, KEY_NAME, config, web_socket};
use crate::web_socket_client::Client;

/// `KEY` in base64url.
const ENCODED_KEY: &str = "czNjcmV0LWtleQ";

async fn start(direct: DirectAccess, allow_from: &[&str]) -> Gateway {
    let mut channel = web_socket("chat");
    channel.access.direct = direct;
    channel.access.allow_from = allow_from.iter().map(ToString::to_string).collect();
    Gateway::start(config(vec![channel]), Settings::default()).await
}

/// The status and error code of a refused upgrade.
async fn refusal(gateway: &Gateway, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let Err(Error::Http(response)) = Client::with_headers(gateway, headers).await else {
        unreachable!("the upgrade was not refused");
    };
    let text = String::from_utf8(response.body().clone().expect("a body")).expect("text");
    assert!(!text.contains(KEY) && !text.contains(ENCODED_KEY), "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    (
        response.status(),
        body["error"]["code"].as_str().expect("a code").to_owned(),
    )
}

#[tokio::test]
async fn a_browser_shows_its_key_as_a_subprotocol_which_is_not_echoed() {
    let gateway = start(DirectAccess::Open, &[]).await;
    let protocols = format!("clawdbot.v1, bearer.{ENCODED_KEY}");
    let mut client = Client::with_headers(&gateway, &[("sec-websocket-protocol", &protocols)])
        .await
        .expect("an upgrade");
    assert_eq!(
        client.response.headers()["sec-websocket-protocol"],
        "clawdbot.v1"
    );
    assert_eq!(client.next().await["type"], "ready");
    client.ask("1", "hi").await;
    assert_eq!(client.answer("1").await[3]["text"], "echo: hi");
}

#[rstest]
#[case::no_key(&[])]
#[case::wrong_key(&[("authorization", "Bearer wrong")])]
#[case::another_scheme(&[("authorization", "Basic s3cret-key")])]
#[case::wrong_subprotocol(&[("sec-websocket-protocol", "clawdbot.v1, bearer.d3Jvbmc")])]
#[case::not_base64(&[("sec-websocket-protocol", "clawdbot.v1, bearer.s3cret!key")])]
#[tokio::test]
async fn without_a_good_key_there_is_no_upgrade(#[case] headers: &[(&str, &str)]) {
    let gateway = start(DirectAccess::Open, &[]).await;
    assert_eq!(
        refusal(&gateway, headers).await,
        (StatusCode::UNAUTHORIZED, "invalid_api_key".to_owned())
    );
}

#[tokio::test]
async fn a_key_in_the_query_is_no_key() {
    let gateway = start(DirectAccess::Open, &[]).await;
    let url = format!(
        "ws://{}/channels/chat?key={KEY}&authorization=Bearer%20{KEY}",
        gateway.address
    );
    let Err(Error::Http(response)) = Client::request(&url, &[]).await else {
        panic!("not refused")
    };
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_allow_list_names_keys() {
    let gateway = start(DirectAccess::AllowList, &[KEY_NAME]).await;
    Client::connect(&gateway).await;
    let bob = [("authorization", "Bearer bobs-key")];
    assert_eq!(
        refusal(&gateway, &bob).await,
        (StatusCode::FORBIDDEN, "forbidden".to_owned())
    );
    assert_eq!(gateway.count("refused"), 1);
}

#[tokio::test]
async fn a_disabled_channel_lets_nobody_in() {
    let gateway = start(DirectAccess::Disabled, &[KEY_NAME]).await;
    let good = [("authorization", "Bearer s3cret-key")];
    assert_eq!(refusal(&gateway, &good).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_open_gateway_still_keeps_its_allow_lists() {
    let gateway = start(DirectAccess::AllowList, &[KEY_NAME]).await;
    let mut open = config(vec![web_socket("chat")]);
    open.auth = AuthConfig::Anonymous {};
    open.channels[0].access.direct = DirectAccess::AllowList;
    gateway.reconfigure(open.clone());
    assert_eq!(refusal(&gateway, &[]).await.0, StatusCode::FORBIDDEN);
    open.channels[0].access.direct = DirectAccess::Open;
    gateway.reconfigure(open);
    assert_eq!(
        Client::with_headers(&gateway, &[])
            .await
            .expect("an upgrade")
            .next()
            .await["type"],
        "ready"
    );
}

#[tokio::test]
async fn a_plain_request_is_told_to_upgrade() {
    let gateway = start(DirectAccess::Open, &[]).await;
    let url = format!("http://{}/channels/chat", gateway.address);
    let response = gateway
        .client
        .get(&url)
        .bearer_auth(KEY)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.text().await.expect("a body").contains("WebSocket"));
    let post = gateway
        .client
        .post(&url)
        .bearer_auth(KEY)
        .send()
        .await
        .expect("an answer");
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}
