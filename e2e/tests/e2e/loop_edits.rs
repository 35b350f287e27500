//! Edits under load: how long each takes until it is served, and that no request fails meanwhile.

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use claw_crds::ModelRoute;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{API_KEY, GATEWAY, shop},
    gateway::{Gateway, content, message},
    operator::Operator,
    upstream::{Upstream, words},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        fifty_edits_under_load_are_served_and_lose_no_request,
        a_revoked_key_is_refused_by_every_replica
    ];
    cases.into_iter().map(Case::alone).collect()
}

const EDITS: usize = 50;
const REVOCATIONS: usize = 20;
const CLIENTS: usize = 4;
/// Generous: the figure itself is printed and belongs into docs/performance.md.
const BOUND: Duration = Duration::from_secs(2);

/// Requests that run beside the edits.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Ask without pause until it is over.
    async fn run(&self, gateway: &Gateway) {
        let client = gateway.client();
        while !self.is_over.load(Ordering::Relaxed) {
            let answer = ask(gateway, &client).await;
            let counter = if answer.is_some() {
                &self.answered
            } else {
                &self.failed
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the route answers now; nothing, if the request fails in any way.
async fn ask(gateway: &Gateway, client: &reqwest::Client) -> Option<String> {
    let request = gateway
        .chat(client, "/ask", &message("hello"))
        .bearer_auth(API_KEY);
    let answer = request.send().await.ok()?.error_for_status().ok()?;
    let answer: Value = answer.json().await.ok()?;
    Some(content(&answer).to_owned())
}

/// Point the route at a model, and measure from the edit to the first answer of that model.
async fn edit(
    context: &Context,
    gateway: &Gateway,
    client: &reqwest::Client,
    model: &str,
) -> Duration {
    let expected = words(&format!("upstream-{model}"));
    let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": model}]}});
    let start = Instant::now();
    context.edit::<ModelRoute>("pages", &routes).await;
    loop {
        let answer = ask(gateway, client).await.expect("no request fails");
        if answer == expected {
            return start.elapsed();
        }
        assert!(
            start.elapsed() < BOUND,
            "the edit is not served: {answer:?}"
        );
    }
}

async fn fifty_edits_under_load_are_served_and_lose_no_request(context: Context) {
    let upstream = Upstream::start().await;
    let operator = Operator::start(&context).await;
    let objects = shop(&upstream.base_url());
    context.kubectl().apply(&objects).await.expect("applied");
    let gateway = Gateway::start(&context, GATEWAY).await;
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ModelRoute>("pages", programmed).await;
    gateway.knows(&context, API_KEY).await;
    let client = gateway.client();
    let load = Load::default();
    let edits = async {
        let mut times = Vec::new();
        for number in 0..EDITS {
            let model = if number % 2 == 0 { "bigger" } else { "big" };
            times.push(edit(&context, &gateway, &client, model).await);
        }
        load.is_over.store(true, Ordering::Relaxed);
        times
    };
    let clients = futures::future::join_all((0..CLIENTS).map(|_| load.run(&gateway)));
    let (times, _) = futures::join!(edits, clients);
    report("route edit to served", times, &load);
    assert_eq!(load.failed.load(Ordering::Relaxed), 0, "requests failed");
    assert!(
        load.answered.load(Ordering::Relaxed) > 0,
        "there was no load"
    );
    gateway.terminate().await;
    operator.terminate().await;
}

/// The key of somebody who will leave.
fn leaver(number: usize) -> String {
    format!("key-of-somebody-who-leaves-{number}")
}

/// Secrets of one key each.
fn leavers() -> String {
    let secrets = (0..REVOCATIONS).map(|number| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": {"app": leaver(number)},
            "metadata": {"name": format!("leaver-{number}"), "labels": {"shop/keys": GATEWAY}},
        })
    });
    json!({"apiVersion": "v1", "kind": "List", "items": secrets.collect::<Vec<_>>()}).to_string()
}

/// Delete a key's Secret, and measure until no replica takes the key any more.
async fn revoke(context: &Context, replicas: &[Gateway; 2], number: usize) -> Duration {
    let key = leaver(number);
    let clients = replicas.each_ref().map(Gateway::client);
    let start = Instant::now();
    context.delete::<Secret>(&format!("leaver-{number}")).await;
    for (replica, client) in replicas.iter().zip(&clients) {
        let url = replica.url("/v1/models");
        loop {
            let answer = client.get(&url).bearer_auth(&key).send().await;
            let status = answer.expect("an answer").status();
            if status == 401 {
                break;
            }
            assert_eq!(status, 200);
            assert!(start.elapsed() < BOUND, "the key is still taken");
        }
    }
    start.elapsed()
}

async fn a_revoked_key_is_refused_by_every_replica(context: Context) {
    let upstream = Upstream::start().await;
    let operator = Operator::start(&context).await;
    let objects = shop(&upstream.base_url());
    context.kubectl().apply(&objects).await.expect("applied");
    context.kubectl().apply(&leavers()).await.expect("applied");
    let replicas = [
        Gateway::start_replica(&context, GATEWAY, "first").await,
        Gateway::start_replica(&context, GATEWAY, "second").await,
    ];
    for replica in &replicas {
        replica.knows(&context, API_KEY).await;
        // Later, they would be held off: this address will have used many keys in vain.
        for number in 0..REVOCATIONS {
            replica.knows(&context, &leaver(number)).await;
        }
    }
    let load = Load::default();
    let revocations = async {
        let mut times = Vec::new();
        for number in 0..REVOCATIONS {
            times.push(revoke(&context, &replicas, number).await);
        }
        load.is_over.store(true, Ordering::Relaxed);
        times
    };
    let clients = futures::future::join_all(replicas.iter().map(|replica| load.run(replica)));
    let (times, _) = futures::join!(revocations, clients);
    report("key deleted to refused by two replicas", times, &load);
    assert_eq!(load.failed.load(Ordering::Relaxed), 0, "requests failed");
    for replica in replicas {
        replica.terminate().await;
    }
    operator.terminate().await;
}

fn report(what: &str, mut times: Vec<Duration>, load: &Load) {
    let edits = times.len();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1].as_millis();
    let _ = writeln!(
        std::io::stderr(),
        "{what}, {edits} times under load: p50 {} ms, p99 {} ms, {} requests answered, {} failed",
        at(50),
        at(99),
        load.answered.load(Ordering::Relaxed),
        load.failed.load(Ordering::Relaxed),
    );
}
