//! Bad requests get a clear error, and the next good one its answer.

use rstest::rstest;
use serde_json::{Value, json};

use crate::binary::{Binary, KEY, chat, client_builder};
use crate::upstream::Upstream;

#[rstest]
#[case(b"{\"model\": \"good\", \"messages\": [", 400, "line 1 column 31")]
#[case(b"{\"model\": \"\xff\"}", 400, "invalid byte at offset 11")]
#[case(b"[]", 400, "not a JSON object")]
#[case(
    b"{\"model\": \"good\", \"messages\": []}",
    400,
    "at least one message"
)]
#[case(
    b"{\"model\": \"none\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
    404,
    "known models are `good`"
)]
#[case(
    b"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
    400,
    "`model` is missing"
)]
#[tokio::test]
async fn a_bad_body_is_answered_with_what_is_wrong(
    #[case] body: &[u8],
    #[case] status: u16,
    #[case] expected: &str,
) {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let response = gateway
        .post("/v1/chat/completions", body.to_vec())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), status);
    let error: Value = response.json().await.expect("JSON");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains(expected), "{message}");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    assert_eq!(
        gateway.ask("/v1/chat/completions", &chat("good")).await.0,
        200
    );
}

#[rstest]
#[case::over_http_1(client_builder())]
#[case::over_http_2(client_builder().http2_prior_knowledge())]
#[tokio::test]
async fn an_oversized_body_is_refused_announced_or_not(#[case] client: reqwest::ClientBuilder) {
    const ROUNDS: usize = 3;
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let client = client.build().expect("a client");
    let refused = async |body: reqwest::Body| {
        let url = gateway.url("/v1/chat/completions");
        let sent = client.post(url).bearer_auth(KEY).body(body).send().await;
        let response = sent.expect("an answer");
        assert_eq!(response.status(), 413);
        let error: Value = response.json().await.expect("JSON");
        assert_eq!(error["error"]["code"], "body_too_large");
    };
    let large = vec![b' '; 5 << 20];
    for _ in 0..ROUNDS {
        refused(large.clone().into()).await;
        let pieces: Vec<_> = large
            .chunks(1 << 16)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect();
        let pieces = futures::stream::iter(pieces);
        refused(reqwest::Body::wrap_stream(pieces)).await;
    }
    assert_eq!(
        gateway.ask("/v1/chat/completions", &chat("good")).await.0,
        200
    );
}

#[tokio::test]
async fn strangers_are_refused_everywhere() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    for path in [
        "/v1/chat/completions",
        "/v1/models",
        "/anything",
        "/channels/a/b",
        "//v1/models",
    ] {
        for key in [None, Some("wrong"), Some("")] {
            let mut request = gateway
                .client
                .post(gateway.url(path))
                .body(chat("good").to_string());
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), 401, "{path} with {key:?}");
            assert!(response.headers().contains_key("www-authenticate"));
        }
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_wrong_path_or_method_is_answered_with_the_right_one() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let (status, error) = gateway.ask("/v2/chat", &chat("good")).await;
    assert_eq!(status, 404);
    assert!(
        error["error"]["message"]
            .as_str()
            .expect("a message")
            .contains("/v1/chat/completions"),
        "{error}"
    );
    let request = gateway
        .client
        .delete(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    let response = request.send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"POST".parse().expect("a header"))
    );
    let error: Value = response.json().await.expect("JSON");
    assert_eq!(error["error"]["code"], json!("method_not_allowed"));
}
