//! HTTP/1.1 and HTTP/2, in the clear and over TLS, whole and streamed.

use std::future::poll_fn;

use axum::body::Bytes;
use futures::FutureExt as _;
use tokio::task::JoinSet;

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

/// Whatever a gateway refuses before it has read the body: some clients lose the answer where its stream is reset.
#[tokio::test]
async fn a_refusal_over_http_2_ends_its_stream_in_peace() {
    const ROUNDS: usize = 20;
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let url = gateway.url("/v1/chat/completions");
    let connection = tokio::net::TcpStream::connect(gateway.address).await;
    let connection = connection.expect("a connection");
    let (mut client, connection) = h2::client::handshake(connection).await.expect("HTTP/2");
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let post = |key: &str| {
        http::Request::post(&url).header(http::header::AUTHORIZATION, format!("Bearer {key}"))
    };
    let mut ended = Vec::new();
    for _ in 0..ROUNDS {
        let refusals = [
            // Who guesses too often is told so.
            (&[401, 429][..], post("wrong")),
            (&[415], post(binary::KEY).header("content-encoding", "gzip")),
            (&[405], post(binary::KEY).method("PUT")),
        ];
        for (expected, request) in refusals {
            client = client.ready().await.expect("a connection that serves on");
            let request = request.body(()).expect("a request");
            let (response, mut body) = client.send_request(request, false).expect("sent");
            // The body comes after the head, in two frames.
            tokio::task::yield_now().await;
            body.send_data(Bytes::from_static(b"{"), false)
                .expect("sent");
            tokio::task::yield_now().await;
            body.send_data(Bytes::from_static(b"}"), true)
                .expect("sent");
            let response = response.await.expect("an answer");
            let status = response.status().as_u16();
            assert!(expected.contains(&status), "{status}");
            let mut answer = response.into_body();
            while let Some(piece) = answer.data().await {
                piece.expect("the answer comes to its end");
            }
            ended.push(body);
        }
    }
    for mut stream in ended {
        let reset = poll_fn(|context| stream.poll_reset(context)).now_or_never();
        assert!(reset.is_none(), "{reset:?}");
    }
}
