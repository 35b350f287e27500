//! Connections that wait for their next request keep little memory, and are served when it comes.

use std::time::Duration;

use futures::future::join_all;
use rstest::rstest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::binary::{Binary, KEY, chat, client_builder, until};
use crate::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";
const CONNECTIONS: u64 = 20;

async fn all_are_idle(gateway: &Binary, number: u64) {
    until("the connections are idle", async || {
        (gateway.metric("claw_gateway_idle_connections").await == number).then_some(())
    })
    .await;
}

fn request() -> String {
    let body = chat("good").to_string();
    let length = body.len();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The head of an answer and its body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let whole = async {
        loop {
            let read = stream.read_buf(&mut seen).await.expect("an answer");
            assert_ne!(read, 0, "the connection ended");
            let text = String::from_utf8_lossy(&seen);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.parse().ok())
                .expect("a length");
            if body.len() == length {
                return text.into_owned();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), whole)
        .await
        .expect("an answer in time")
}

#[tokio::test]
async fn a_connection_is_parked_and_serves_again() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(gateway.address).await;
        streams.push(stream.expect("a connection"));
    }
    for _ in 0..2 {
        for stream in &mut streams {
            stream.write_all(request().as_bytes()).await.expect("sent");
            assert!(answer(stream).await.starts_with("HTTP/1.1 200 "));
        }
        all_are_idle(&gateway, CONNECTIONS).await;
    }
    drop(streams);
    all_are_idle(&gateway, 0).await;
    until("they are closed", async || {
        (gateway.metric("claw_gateway_open_connections").await <= 1).then_some(())
    })
    .await;
}

/// Kibibytes of memory that a process has.
fn resident(process: u32) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(path).expect("a process");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .expect("a number")
}

/// A gateway for many.
async fn roomy() -> Binary {
    let upstream = json!({"name": "far", "remote": {"provider": "OpenAI", "baseURL": "http://127.0.0.1:9/v1"}});
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}}, "auth": {"anonymous": {}}, "models": [upstream],
            "limits": {"requestsPerSecond": 1_000_000, "maxConnections": 10_000},
        },
    });
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests).expect("a folder");
    std::fs::write(manifests.join("desk.json"), gateway.to_string()).expect("written");
    let arguments = ["--manifests".to_owned(), manifests.display().to_string()];
    Binary::start_in(folder, &arguments).await
}

/// Also of connections that came together, after which nothing happens.
#[tokio::test]
async fn what_parked_connections_leave_is_given_back() {
    const CROWD: u64 = 2_000;
    /// What a connection keeps, at most; one that is not parked has some 36.
    const KEPT_KIBIBYTES: u64 = 8;
    // A connection is a file, here and there; many shells allow 1,024.
    let most = getrlimit(Resource::Nofile).maximum;
    let files = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, files).expect("allowed");
    let gateway = roomy().await;
    let asked =
        format!("GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n\r\n");
    let crowd = async || {
        let streams = join_all((0..CROWD).map(async |_| {
            let stream = TcpStream::connect(gateway.address).await;
            let mut stream = stream.expect("a connection");
            stream.write_all(asked.as_bytes()).await.expect("sent");
            let answer = answer(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            stream
        }));
        streams.await
    };
    let before = resident(gateway.process());
    let _waiting = crowd().await;
    until("the memory is given back", async || {
        (resident(gateway.process()) < before + CROWD * KEPT_KIBIBYTES).then_some(())
    })
    .await;
}

#[rstest]
#[case::in_two_pieces(40)]
#[case::behind_the_request_before(0)]
#[tokio::test]
async fn half_a_request_is_kept(#[case] cut: usize) {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let mut stream = TcpStream::connect(gateway.address)
        .await
        .expect("a connection");
    let mut other = TcpStream::connect(gateway.address)
        .await
        .expect("a connection");
    let request = request();
    // Another connection tells when this one would have been parked.
    other.write_all(request.as_bytes()).await.expect("sent");
    answer(&mut other).await;
    let (first, rest) = if cut == 0 {
        (format!("{request}{}", &request[..50]), &request[50..])
    } else {
        stream.write_all(request.as_bytes()).await.expect("sent");
        answer(&mut stream).await;
        (request[..cut].to_owned(), &request[cut..])
    };
    stream.write_all(first.as_bytes()).await.expect("sent");
    if cut == 0 {
        answer(&mut stream).await;
    }
    all_are_idle(&gateway, 1).await;
    other.write_all(request.as_bytes()).await.expect("sent");
    answer(&mut other).await;
    all_are_idle(&gateway, 1).await;
    stream.write_all(rest.as_bytes()).await.expect("sent");
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    all_are_idle(&gateway, 2).await;
}

#[tokio::test]
async fn over_tls_too() {
    let upstream = Upstream::start().await;
    let (mut gateway, certificate) = crate::tls::start(&upstream).await;
    let client = client_builder().tls_certs_only([certificate]);
    gateway.client = client.http1_only().build().expect("a client");
    for _ in 0..2 {
        assert_eq!(gateway.ask(CHAT, &chat("good")).await.0, 200);
        all_are_idle(&gateway, 1).await;
    }
    assert_eq!(gateway.metric("claw_gateway_open_connections").await, 1);
}
