//! Against real servers on loopback addresses, of which one is "public" here: it is the only one allowed.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Answers with the next of its answers, the last one for ever, and counts.
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[IpAddr]]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Lookup for Script {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().expect("not poisoned");
        let answer = if answers.len() > 1 {
            answers.pop_front().expect("more than one")
        } else {
            answers[0].clone()
        };
        Box::pin(async move { Ok(answer) })
    }
}

/// Two servers on one port, the public and the private one; each closes after its answer and counts its clients.
struct Servers {
    port: u16,
    reached: [Arc<AtomicUsize>; 2],
    _running: JoinSet<()>,
}

impl Servers {
    async fn start(answer: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (public, private, port) = loop {
            let public = TcpListener::bind((PUBLIC, 0)).await.expect("a port");
            let port = public.local_addr().expect("bound").port();
            // Somebody else may have it at the other address.
            if let Ok(private) = TcpListener::bind((PRIVATE, port)).await {
                break (public, private, port);
            }
        };
        let reached = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let mut running = JoinSet::new();
        for (listener, reached) in [public, private].into_iter().zip(reached.clone()) {
            let answer = answer.replace("PORT", &port.to_string());
            running.spawn(async move {
                loop {
                    let (mut connection, _) = listener.accept().await.expect("a client");
                    reached.fetch_add(1, Ordering::Relaxed);
                    let read = connection.read(&mut [0; 4096]).await;
                    read.expect("a request");
                    let written = connection.write_all(answer.as_bytes()).await;
                    written.expect("written");
                }
            });
        }
        Self {
            port,
            reached,
            _running: running,
        }
    }

    fn reached(&self) -> [usize; 2] {
        self.reached
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.port)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

fn only_public() -> OutboundConfig {
    OutboundConfig {
        allowed_cidrs: [PUBLIC.into()].into(),
        ..OutboundConfig::default()
    }
}

#[tokio::test]
async fn a_name_that_is_bound_anew_is_not_followed_inside() {
    let servers = Servers::start(OK).await;
    let script = Script::new(&[&[PUBLIC], &[PRIVATE]]);
    let outbound = Outbound::with_lookup(only_public(), Arc::clone(&script) as _).expect("clients");
    let url = servers.url("rebinding.example");
    let first = outbound.post(&url).expect("a name").send().await;
    assert_eq!(first.expect("an answer").status(), 200);
    assert_eq!(script.asked(), 1, "one look-up for one connection");
    let error = outbound
        .post(&url)
        .expect("a name")
        .send()
        .await
        .expect_err("a private address");
    let refusal = refusal_in(&error).expect("refused, rather than failed");
    assert_eq!(refusal.address, PRIVATE);
    assert_eq!(script.asked(), 2);
    assert_eq!(servers.reached(), [1, 0]);
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_ones_are_called() {
    let servers = Servers::start(OK).await;
    let script = Script::new(&[&[PRIVATE, PUBLIC]]);
    let outbound = Outbound::with_lookup(only_public(), script).expect("clients");
    let request = outbound.post(&servers.url("both.example")).expect("a name");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    assert_eq!(servers.reached(), [1, 0]);
}

#[tokio::test]
async fn an_address_in_the_url_is_refused_before_anything_is_sent() {
    let servers = Servers::start(OK).await;
    let outbound = Outbound::new(only_public()).expect("clients");
    for host in [
        "127.0.0.1",
        "0x7f000001",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ] {
        let refusal = outbound.post(&servers.url(host)).expect_err(host);
        assert!(refusal.to_string().contains("127.0.0.1/32"), "{refusal}");
    }
    let allowed = outbound.post(&servers.url("127.0.0.2")).expect("allowed");
    assert_eq!(allowed.send().await.expect("an answer").status(), 200);
    assert_eq!(servers.reached(), [1, 0]);
}

#[tokio::test]
async fn rules_count_at_once_also_for_connections_that_are_open() {
    let kept = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let servers = Servers::start(kept).await;
    let outbound = Outbound::new(only_public()).expect("clients");
    let url = servers.url("127.0.0.2");
    let answer = outbound.post(&url).expect("allowed").send().await;
    answer.expect("an answer").bytes().await.expect("whole");
    outbound
        .follow(&OutboundConfig::default())
        .expect("clients");
    outbound.post(&url).expect_err("no longer");
}

#[tokio::test]
async fn redirects_of_apis_are_not_followed_and_those_of_downloads_are_checked() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:PORT/\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n";
    let servers = Servers::start(moved).await;
    let outbound = Outbound::new(only_public()).expect("clients");
    let url = servers.url("127.0.0.2");
    let answer = outbound.post(&url).expect("allowed").send().await;
    assert_eq!(answer.expect("an answer").status(), 302);
    let error = outbound.download(&url).expect("allowed").send().await;
    let error = error.expect_err("the target is private");
    assert_eq!(refusal_in(&error).expect("refused").address, PRIVATE);
    assert_eq!(servers.reached(), [2, 0]);
}

async fn ask(outbound: &Outbound, url: &str) -> Result<Bytes, SendError> {
    let response = outbound
        .send(url, HeaderMap::new(), Bytes::from_static(b"{}"))
        .await?;
    assert_eq!(response.status(), 200);
    Ok(response.into_body().collect().await?.to_bytes())
}

#[tokio::test]
async fn plain_connections_of_our_own_follow_the_same_rules() {
    let servers = Servers::start(OK).await;
    let script = Script::new(&[&[PRIVATE, PUBLIC], &[PRIVATE]]);
    let outbound = Outbound::with_lookup(only_public(), Arc::clone(&script) as _).expect("clients");
    let url = servers.url("rebinding.example");
    assert_eq!(ask(&outbound, &url).await.expect("an answer"), "hi");
    assert_eq!(script.asked(), 1, "one look-up for one connection");
    let error = ask(&outbound, &url).await.expect_err("a private address");
    let refusal = refusal_in(&error).expect("refused, rather than failed");
    assert_eq!(refusal.address, PRIVATE);
    let error = ask(&outbound, &servers.url("0x7f000001")).await;
    assert!(matches!(error, Err(SendError::NotAllowed(_))), "{error:?}");
    assert_eq!(servers.reached(), [1, 0]);
    outbound
        .follow(&OutboundConfig::default())
        .expect("clients");
    let error = ask(&outbound, &servers.url("127.0.0.2")).await;
    assert!(matches!(error, Err(SendError::NotAllowed(_))), "{error:?}");
}

/// Answers so often on each connection, and counts connections.
async fn patient_server(
    answers: usize,
    answer: &'static str,
) -> (String, Arc<AtomicUsize>, JoinSet<()>) {
    let listener = TcpListener::bind((PUBLIC, 0)).await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let mut running = JoinSet::new();
    running.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut connection, _) = listener.accept().await.expect("a client");
            count.fetch_add(1, Ordering::Relaxed);
            connections.spawn(async move {
                for _ in 0..answers {
                    if connection
                        .read(&mut [0; 4096])
                        .await
                        .is_ok_and(|read| read > 0)
                    {
                        let _ = connection.write_all(answer.as_bytes()).await;
                    }
                }
            });
        }
    });
    (url, reached, running)
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        let (url, reached, _running) = patient_server(3, answer).await;
        let outbound = Outbound::new(only_public()).expect("clients");
        for _ in 0..3 {
            assert_eq!(ask(&outbound, &url).await.expect("an answer"), "hi");
        }
        assert_eq!(reached.load(Ordering::Relaxed), 1, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_was_not_read_to_its_end_costs_its_connection() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhi";
    let (url, reached, _running) = patient_server(3, half).await;
    let outbound = Outbound::new(only_public()).expect("clients");
    for expected in 1..4 {
        let sent = outbound.send(&url, HeaderMap::new(), Bytes::new()).await;
        let frame = sent.expect("a head").into_body().frame().await;
        let data = frame.expect("a piece").expect("read").into_data();
        assert_eq!(data.expect("data"), "hi");
        assert_eq!(reached.load(Ordering::Relaxed), expected);
    }
}
