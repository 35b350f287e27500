//! HTTP/1.1 and HTTP/2, in the clear and over TLS, whole and streamed.

use crate::binary::{Binary, chat, client_builder, events, said, stream};
use crate::upstream::Upstream;
use crate::{binary, tls};

/// Both kinds of answers over this version of HTTP.
async fn speaks(gateway: &Binary, client: &reqwest::Client, version: http::Version) {
    for body in [chat("good"), stream("good")] {
        let request = client
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth(binary::KEY)
            .body(body.to_string());
        let response = request.send().await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, version)
        );
        if body["stream"] == true {
            let events = events(response).await;
            assert_eq!(said(&events), "Hello");
            assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        } else {
            let answer: serde_json::Value = response.json().await.expect("JSON");
            assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
        }
    }
}

#[tokio::test]
async fn over_tls_the_client_chooses_by_alpn() {
    let upstream = Upstream::start().await;
    let (gateway, certificate) = tls::start(&upstream).await;
    let client = || client_builder().tls_certs_only([certificate.clone()]);
    let new = client().build().expect("a client");
    speaks(&gateway, &new, http::Version::HTTP_2).await;
    let old = client().http1_only().build().expect("a client");
    speaks(&gateway, &old, http::Version::HTTP_11).await;
}

#[tokio::test]
async fn in_the_clear_http_2_is_spoken_to_those_who_know() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let plain = client_builder().build().expect("a client");
    speaks(&gateway, &plain, http::Version::HTTP_11).await;
    let knowing = client_builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    speaks(&gateway, &knowing, http::Version::HTTP_2).await;
}
