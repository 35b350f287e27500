//! Clients that break the rules of HTTP, on purpose or not: each is answered or cut off, and all others are served.

use std::time::Duration;

use futures::future::join_all;
use rstest::rstest;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::binary::{Binary, KEY, chat, until};
use crate::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";
/// Longer than any of the gateway's own limits of time that are waited for here.
const DEADLINE: Duration = Duration::from_secs(45);

async fn start() -> (Upstream, Binary) {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    (upstream, gateway)
}

/// A request up to its own header fields.
fn head(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n")
}

async fn connect(gateway: &Binary) -> TcpStream {
    TcpStream::connect(gateway.address)
        .await
        .expect("a connection")
}

/// All that comes until the gateway closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async {
        // A connection that is closed with bytes unread is reset, after its answer.
        while let Ok(1..) = stream.read_buf(&mut answer).await {}
    };
    tokio::time::timeout(DEADLINE, read)
        .await
        .expect("the gateway closes the connection");
    String::from_utf8(answer).expect("UTF-8")
}

/// What these bytes are answered with, until the gateway closes the connection.
async fn told(gateway: &Binary, bytes: &[u8]) -> String {
    let mut stream = connect(gateway).await;
    // It may close before it has read everything.
    stream.write_all(bytes).await.ok();
    rest(&mut stream).await
}

async fn serves(gateway: &Binary) {
    assert_eq!(gateway.ask(CHAT, &chat("good")).await.0, 200);
}

async fn open_connections(gateway: &Binary) -> u64 {
    gateway.metric("claw_gateway_open_connections").await
}

/// A connection is used again after a refusal, although the refused body comes after its head.
#[tokio::test]
async fn a_refusal_leaves_the_connection_to_the_next_request() {
    let (_upstream, gateway) = start().await;
    let body = chat("good").to_string();
    let stranger = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer wrong\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let known = format!(
        "{}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        head(CHAT),
        body.len()
    );
    let mut stream = connect(&gateway).await;
    stream.set_nodelay(true).expect("a socket option");
    stream.write_all(stranger.as_bytes()).await.expect("a head");
    let early = tokio::time::timeout(Duration::from_millis(300), stream.readable()).await;
    assert!(early.is_err(), "the answer waits for the body");
    stream.write_all(body.as_bytes()).await.expect("a body");
    stream.write_all(known.as_bytes()).await.expect("the next");
    let answers = rest(&mut stream).await;
    assert!(answers.starts_with("HTTP/1.1 401 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 "), "{answers}");
}

/// A request within the body of another: a proxy that reads lengths otherwise would take it for one of its own.
const HIDDEN: &str = "GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n";

#[rstest]
#[case::two_lengths("content-length: 4\r\ncontent-length: 5\r\n\r\n{}{}")]
#[case::length_with_a_sign("content-length: +2\r\n\r\n{}")]
#[case::lengths_in_a_list("content-length: 2, 2\r\n\r\n{}")]
#[case::huge_length("content-length: 99999999999999999999\r\n\r\n{}")]
#[case::not_chunked_at_last("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n")]
#[case::unknown_encoding("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n")]
#[case::space_before_the_colon("transfer-encoding : chunked\r\n\r\n0\r\n\r\n")]
#[case::folded_line("x-note: a\r\n b\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::no_name(": chunked\r\n\r\n")]
#[case::zero_byte("x-note: a\0b\r\n\r\n")]
#[case::bare_carriage_return("x-note: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[tokio::test]
async fn a_length_that_two_could_read_otherwise_is_refused(#[case] fields: &str) {
    let (_upstream, gateway) = start().await;
    let request = format!("{}{fields}{HIDDEN}", head(CHAT));
    let answer = told(&gateway, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    serves(&gateway).await;
}

#[rstest]
#[case::length_first("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n")]
#[case::length_last("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n")]
#[tokio::test]
async fn what_follows_a_request_with_two_kinds_of_length_is_no_request(#[case] fields: &str) {
    let (_upstream, gateway) = start().await;
    let body = chat("good").to_string();
    let request = format!(
        "{}{fields}{:x}\r\n{body}\r\n0\r\n\r\n{HIDDEN}",
        head(CHAT),
        body.len()
    );
    let answer = told(&gateway, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[rstest]
#[case::size_in_c("0x2\r\n{}\r\n0\r\n\r\n")]
#[case::negative_size("-2\r\n{}\r\n0\r\n\r\n")]
#[case::huge_size("fffffffffffffffff\r\n{}\r\n0\r\n\r\n")]
#[case::too_short("1\r\n{}\r\n0\r\n\r\n")]
#[case::endless_extension(&format!("2;{}", "x".repeat(100_000)))]
#[tokio::test]
async fn a_broken_chunk_is_refused(#[case] chunks: &str) {
    let (_upstream, gateway) = start().await;
    let request = format!(
        "{}transfer-encoding: chunked\r\n\r\n{chunks}{HIDDEN}",
        head(CHAT)
    );
    let answer = told(&gateway, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    serves(&gateway).await;
}

#[rstest]
#[case::one_that_is_huge(&format!("x-note: {}\r\n\r\n", "x".repeat(70_000)))]
#[case::too_many(&"x-note: x\r\n".repeat(101))]
#[tokio::test]
async fn fields_without_measure_are_refused(#[case] fields: &str) {
    let (_upstream, gateway) = start().await;
    let request = format!("{}{fields}\r\n", head(CHAT));
    let answer = told(&gateway, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    serves(&gateway).await;
}

#[tokio::test]
async fn a_path_without_measure_is_refused() {
    let (_upstream, gateway) = start().await;
    let request = head(&format!("/{}", "x".repeat(70_000))) + "\r\n";
    let answer = told(&gateway, request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    serves(&gateway).await;
}

#[tokio::test]
async fn a_compressed_body_is_never_unpacked() {
    let (_upstream, gateway) = start().await;
    // As the head of a bomb says what comes; nothing reads further than that it is no JSON.
    let bomb = [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &[0; 4096]].concat();
    let response = gateway
        .post(CHAT, bomb)
        .header("content-encoding", "gzip")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 415);
    let error: serde_json::Value = response.json().await.expect("JSON");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains("gzip"), "{message}");
    serves(&gateway).await;
}

#[tokio::test]
async fn who_never_comes_to_the_point_is_cut_off_and_others_are_served() {
    let (_upstream, gateway) = start().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&gateway).await;
        stream
            .write_all(head(CHAT).as_bytes())
            .await
            .expect("written");
        slow.push(stream);
    }
    let drip = async {
        // A byte now and then keeps nobody waiting for ever.
        loop {
            for stream in &mut slow {
                let mut gone = [0];
                let is_open = stream.write_all(b"x").await.is_ok()
                    && !matches!(stream.try_read(&mut gone), Ok(0));
                if !is_open {
                    return;
                }
            }
            serves(&gateway).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(DEADLINE, drip)
        .await
        .expect("a slow head ends");
    drop(slow);
    until("every slow connection is gone", async || {
        (open_connections(&gateway).await <= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_stops_sending_leaves_nothing_behind() {
    let (_upstream, gateway) = start().await;
    let halves = [
        String::new(),
        head(CHAT),
        format!("{}content-length: 100\r\n\r\n{{", head(CHAT)),
    ];
    join_all(halves.iter().cycle().take(60).map(async |half| {
        let mut stream = connect(&gateway).await;
        stream.write_all(half.as_bytes()).await.expect("written");
        stream.shutdown().await.expect("half closed");
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
    }))
    .await;
    serves(&gateway).await;
    until("every half-closed connection is gone", async || {
        (open_connections(&gateway).await <= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_cancelled_requests_ends_its_connection_alone() {
    let (_upstream, gateway) = start().await;
    let stream = connect(&gateway).await;
    let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let url = gateway.url(CHAT);
    for _ in 0..100_000 {
        let Ok(mut ready) = client.ready().await else {
            break;
        };
        let request = http::Request::post(&url)
            .header("authorization", format!("Bearer {KEY}"))
            .body(())
            .expect("a request");
        let Ok((_, mut body)) = ready.send_request(request, false) else {
            break;
        };
        body.send_reset(h2::Reason::CANCEL);
        client = ready;
        // The connection is driven between two requests.
        tokio::task::yield_now().await;
    }
    let ended = tokio::time::timeout(DEADLINE, connections.join_next()).await;
    let ended = ended
        .expect("the gateway ends the connection")
        .expect("one connection")
        .expect("no panic");
    let error = ended.expect_err("not in peace");
    // The end of the connection may overtake its reason, while we are still writing.
    let is_told = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    assert!(is_told || error.is_io(), "{error:?}");
    serves(&gateway).await;
}

#[tokio::test]
async fn without_file_descriptors_it_waits_for_some_and_serves_on() {
    let (_upstream, gateway) = start().await;
    serves(&gateway).await;
    let process = Pid::from_raw(gateway.process().cast_signed()).expect("a process");
    let few = Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    prlimit(Some(process), Resource::Nofile, few).expect("limited");
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&gateway).await);
    }
    until("descriptors have run out", async || {
        gateway
            .log()
            .contains("failed to accept a connection")
            .then_some(())
    })
    .await;
    drop(idle);
    until("it serves again", async || {
        let sent = gateway.chat(CHAT, &chat("good")).send().await;
        sent.is_ok_and(|response| response.status() == 200)
            .then_some(())
    })
    .await;
}
