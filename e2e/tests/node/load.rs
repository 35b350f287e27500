//! Clients that ask again and again while something else happens.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use serde_json::Value;

use crate::{
    gateway::{Gateway, content},
    shop::API_KEY,
};

const CLIENTS: usize = 4;
/// As the official clients do: a connection that breaks is tried again, with growing pauses.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// What became of the requests.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// There were requests, and none failed.
    pub(crate) fn expect_none_failed(&self) {
        let failures = &self.failures;
        assert!(
            failures.is_empty(),
            "{} requests failed: {failures:?}",
            failures.len()
        );
        assert!(self.answered > 0, "there was no load");
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
    let failures = Mutex::new(Vec::new());
    let clients = futures::future::join_all((0..CLIENTS).map(|_| connected(gateway))).await;
    let keep_asking = async |client: Client| {
        while !is_over.load(Ordering::Relaxed) {
            match ask_with_retries(gateway, &client).await {
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
        failures: failures.into_inner().expect("no panic"),
    };
    (outcome, tally)
}

/// A client that was answered. A Service lets nobody in until the node's rules know its ready pods, which is a moment
/// after the gateway is Ready.
async fn connected(gateway: &Gateway) -> Client {
    let client = gateway.client();
    let answer = ask_with_retries(gateway, &client).await;
    answer.expect("an answer before anything happens");
    client
}

async fn ask_with_retries(gateway: &Gateway, client: &Client) -> Result<String, String> {
    for pause in PAUSES {
        if let Ok(answer) = ask(gateway, client).await {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
    }
    ask(gateway, client).await
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
