//! The end: drained, or at once.

use futures::StreamExt as _;

use crate::binary::{Binary, chat, stream, until};
use crate::upstream::Upstream;

#[tokio::test]
async fn a_stream_under_way_is_finished_and_new_connections_are_not_taken() {
    let upstream = Upstream::start().await;
    let mut gateway = Binary::start(&upstream.models(&["drips"])).await;
    let response = gateway
        .chat("/v1/chat/completions", &stream("drips"))
        .send()
        .await
        .expect("an answer");
    let mut body = response.bytes_stream();
    let mut text = body
        .next()
        .await
        .expect("a piece")
        .expect("a piece")
        .to_vec();
    gateway.signal("-TERM");
    until("the gateway is unready", async || {
        (gateway.managed("/readyz").await.0 == 503).then_some(())
    })
    .await;
    let fresh = crate::binary::client_builder().build().expect("a client");
    until("new connections are refused", async || {
        fresh.get(gateway.url("/v1/models")).send().await.err()
    })
    .await;
    while let Some(piece) = body.next().await {
        text.extend(piece.expect("the stream is not cut"));
    }
    assert!(
        String::from_utf8(text)
            .expect("UTF-8")
            .ends_with("data: [DONE]\n\n")
    );
    assert_eq!(gateway.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_grace_period_ends_what_does_not_end() {
    let upstream = Upstream::start().await;
    let mut arguments = upstream.models(&["slow"]);
    arguments.extend(["--shutdown-grace".to_owned(), "200ms".to_owned()]);
    let mut gateway = Binary::start(&arguments).await;
    let request = tokio::task::JoinSet::from_iter([gateway
        .chat("/v1/chat/completions", &chat("slow"))
        .send()]);
    until("the request is under way", async || {
        (!upstream.requests().is_empty()).then_some(())
    })
    .await;
    gateway.signal("-INT");
    assert_eq!(gateway.end().await.code(), Some(0));
    assert!(request.join_all().await[0].is_err());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start().await;
    let mut gateway = Binary::start(&upstream.models(&["slow"])).await;
    let request = tokio::task::JoinSet::from_iter([gateway
        .chat("/v1/chat/completions", &chat("slow"))
        .send()]);
    until("the request is under way", async || {
        (!upstream.requests().is_empty()).then_some(())
    })
    .await;
    gateway.signal("-TERM");
    until("the gateway drains", async || {
        (gateway.managed("/readyz").await.0 == 503).then_some(())
    })
    .await;
    gateway.signal("-TERM");
    assert_eq!(gateway.end().await.code(), Some(0));
    assert!(request.join_all().await[0].is_err());
    assert!(gateway.log().contains("second signal"));
}
