//! Clients that ask again and again while something else happens.

use std::{
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use claw_e2e::wait::until;
use reqwest::Client;
use serde_json::Value;

use crate::{
    gateway::{Gateway, content},
    shop::API_KEY,
};

const CLIENTS: usize = 4;
const CONNECTING: Duration = Duration::from_secs(10);
/// As the official clients do: what fails is tried again twice, with growing pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// What became of the requests.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// In which time.
    pub(crate) time: Duration,
    /// Why requests were tried again.
    pub(crate) retries: Vec<String>,
    /// Why they failed in the end.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// There were requests, and none failed. Shows how many were tried again.
    pub(crate) fn expect_none_failed(&self) {
        let failures = &self.failures;
        let _ = writeln!(
            std::io::stderr(),
            "{} requests answered in {:.1} s, {} tries failed",
            self.answered,
            self.time.as_secs_f64(),
            self.retries.len() + failures.len(),
        );
        assert!(
            failures.is_empty(),
            "{} requests failed: {failures:?}",
            failures.len()
        );
        assert!(self.answered > 0, "there was no load");
    }

    /// And none had to be tried again: nobody noticed anything.
    pub(crate) fn expect_none_tried_again(&self) {
        self.expect_none_failed();
        let retries = &self.retries;
        assert!(
            retries.is_empty(),
            "{} of {} requests were tried again: {retries:?}",
            retries.len(),
            self.answered,
        );
    }
}

/// Ask without pause while `act` runs, which starts when every client has its connection and its first answer.
pub(crate) async fn during<T>(gateway: &Gateway, act: impl Future<Output = T>) -> (T, Tally) {
    Box::pin(paced(gateway, Duration::ZERO, act)).await
}

/// The same with a pause of each client after each answer: what is timed shall not queue behind the load itself on a
/// machine that carries clients, provider, gateways and all of Kubernetes.
pub(crate) async fn paced<T>(
    gateway: &Gateway,
    pause: Duration,
    act: impl Future<Output = T>,
) -> (T, Tally) {
    let is_over = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let (retries, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let clients = futures::future::join_all((0..CLIENTS).map(|_| connected(gateway))).await;
    let start = Instant::now();
    let keep_asking = async |client: Client| {
        while !is_over.load(Ordering::Relaxed) {
            let (outcome, tried) = ask_with_retries(gateway, &client).await;
            retries.lock().expect("no panic").extend(tried);
            match outcome {
                Ok(_) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => failures.lock().expect("no panic").push(error),
            }
            tokio::time::sleep(pause).await;
        }
    };
    let act = async {
        let outcome = act.await;
        is_over.store(true, Ordering::Relaxed);
        outcome
    };
    let clients = futures::future::join_all(clients.into_iter().map(keep_asking));
    let (outcome, _) = futures::join!(act, clients);
    let tally = Tally {
        answered: answered.into_inner(),
        time: start.elapsed(),
        retries: retries.into_inner().expect("no panic"),
        failures: failures.into_inner().expect("no panic"),
    };
    (outcome, tally)
}

/// A client that was answered. A Service lets nobody in until the node's rules know its ready pods, which is a moment
/// after the gateway is Ready.
async fn connected(gateway: &Gateway) -> Client {
    let client = gateway.client();
    let answer = until(CONNECTING, async || ask(gateway, &client).await.ok()).await;
    answer.expect("an answer before anything happens");
    client
}

/// The answer in the end, and why each try before it failed.
async fn ask_with_retries(
    gateway: &Gateway,
    client: &Client,
) -> (Result<String, String>, Vec<String>) {
    let mut tried = Vec::new();
    for pause in PAUSES {
        match ask(gateway, client).await {
            Ok(answer) => return (Ok(answer), tried),
            Err(error) => tried.push(error),
        }
        tokio::time::sleep(pause).await;
    }
    (ask(gateway, client).await, tried)
}

/// The HTTP status that a question gets now.
pub(crate) async fn status(gateway: &Gateway, client: &Client) -> u16 {
    let answer = gateway.ask(client, "/ask").bearer_auth(API_KEY).send();
    answer.await.expect("an answer").status().as_u16()
}

/// What the route answers now.
pub(crate) async fn ask(gateway: &Gateway, client: &Client) -> Result<String, String> {
    let answer = gateway.ask(client, "/ask").bearer_auth(API_KEY).send();
    let answer = answer.await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| format!("{error:?}"))?;
    if !status.is_success() {
        return Err(format!("{status}: {body}"));
    }
    let body: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    Ok(content(&body).to_owned())
}
