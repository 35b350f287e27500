//! Certificates change while clients connect, and no client notices.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use claw_crds::{ClawGateway, pki};
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use reqwest::tls::TlsInfo;
use serde_json::json;

use crate::{
    gateway::{Gateway, wait_until_ready},
    load::{self, ask},
    processes::{lives, pods},
    shop::{self, GATEWAY},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        ten_rotations_lose_no_request,
        new_certificates_of_the_same_authority_lose_no_request,
        a_certificate_of_ones_own_is_served_and_replaced_without_a_restart,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const ROTATIONS: u32 = 10;
const CLIENTS: usize = 3;
/// Questions by each connection: a client reads what it trusts anew for the next one.
const QUESTIONS: usize = 4;
/// New connections that have to agree: each reaches one of two pods.
const WITNESSES: usize = 8;

/// An entry of a Secret, as clients mount it.
async fn entry(context: &Context, secret: &str, key: &str) -> Vec<u8> {
    let name = format!("{GATEWAY}-{secret}");
    context
        .eventually("the Secret has the entry", async || {
            let data = context.find::<Secret>(&name).await?.data?;
            data.get(key).map(|bytes| bytes.0.clone())
        })
        .await
}

/// Wait until every new connection is served a certificate of this authority itself, without those before it.
async fn every_pod_serves_by(context: &Context, gateway: &Gateway, authority: &[u8]) {
    context
        .eventually("every pod serves the new certificate", async || {
            for _ in 0..WITNESSES {
                let client = gateway.client_that_trusts(authority);
                ask(gateway, &client).await.ok()?;
            }
            Some(())
        })
        .await;
}

async fn lives_of_pods(context: &Context) -> BTreeMap<String, i32> {
    let selector = format!("app.kubernetes.io/instance={GATEWAY}");
    lives(&pods(context, &context.namespace, &selector).await)
}

/// When a certificate that is served ends, as the client sees it.
async fn served_end(gateway: &Gateway, authority: &[u8]) -> Option<Timestamp> {
    let client = gateway.client_that_trusts(authority);
    let answer = gateway.ask(&client, "/ask").send().await.ok()?;
    let served = answer.extensions().get::<TlsInfo>()?.peer_certificate()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(served).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// Wait until the status tells of the certificate that every new connection is served.
async fn status_tells_what_is_served(context: &Context, gateway: &Gateway, authority: &[u8]) {
    context
        .eventually("the status tells when the certificate ends", async || {
            let status = context.find::<ClawGateway>(GATEWAY).await?.status?;
            let told: Timestamp = status.certificate_expires?.parse().expect("a time");
            for _ in 0..WITNESSES {
                (served_end(gateway, authority).await? == told).then_some(())?;
            }
            Some(())
        })
        .await;
}

/// Ask by new connections while `act` runs, each of which trusts what `trusted` gives then; none may fail.
async fn connecting_during(
    gateway: &Gateway,
    trusted: impl AsyncFn() -> Vec<u8>,
    act: impl Future<Output = ()>,
) {
    let is_over = AtomicBool::new(false);
    let (connections, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let client = async || {
        while !is_over.load(Ordering::Relaxed) {
            let client = gateway.client_that_trusts(&trusted().await);
            connections.fetch_add(1, Ordering::Relaxed);
            for _ in 0..QUESTIONS {
                // Never tried again: no answer may be lost.
                ask(gateway, &client).await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok::<_, String>(())
    };
    let act = async {
        act.await;
        is_over.store(true, Ordering::Relaxed);
    };
    let clients = join_all((0..CLIENTS).map(|_| client()));
    let ((), outcomes) = futures::join!(act, clients);
    let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(failures, Vec::<String>::new());
    let connections = connections.into_inner();
    assert!(
        connections >= u64::from(ROTATIONS) && answered.into_inner() >= connections,
        "{connections} connections are no load"
    );
}

async fn ten_rotations_lose_no_request(context: Context) {
    let gateway = shop::open(&context).await;
    let before = lives_of_pods(&context).await;
    let rotations = async {
        for number in 1..=ROTATIONS {
            let wish = json!({"metadata": {"annotations": {"claw.dev/rotate-certificates": number.to_string()}}});
            let old = entry(&context, "ca", "ca.crt").await;
            context.edit::<ClawGateway>(GATEWAY, &wish).await;
            let new = context
                .eventually("a new authority is made", async || {
                    let new = entry(&context, "ca", "ca.crt").await;
                    (new != old).then_some(new)
                })
                .await;
            every_pod_serves_by(&context, &gateway, &new).await;
            status_tells_what_is_served(&context, &gateway, &new).await;
        }
    };
    let trusted = async || entry(&context, "tls", "ca.crt").await;
    Box::pin(connecting_during(&gateway, trusted, rotations)).await;
    assert_eq!(lives_of_pods(&context).await, before, "no pod restarts");
}

async fn new_certificates_of_the_same_authority_lose_no_request(context: Context) {
    let gateway = shop::open(&context).await;
    let before = lives_of_pods(&context).await;
    let authority = entry(&context, "ca", "ca.crt").await;
    let renewals = async {
        for _ in 0..ROTATIONS {
            let old = entry(&context, "tls", "tls.crt").await;
            context.delete::<Secret>(&format!("{GATEWAY}-tls")).await;
            context
                .eventually("a new certificate is made", async || {
                    let new = entry(&context, "tls", "tls.crt").await;
                    (new != old).then_some(())
                })
                .await;
            status_tells_what_is_served(&context, &gateway, &authority).await;
            assert_eq!(entry(&context, "ca", "ca.crt").await, authority);
        }
    };
    let trusted = async || authority.clone();
    Box::pin(connecting_during(&gateway, trusted, renewals)).await;
    assert_eq!(lives_of_pods(&context).await, before, "no pod restarts");
}

/// A Secret as cert-manager or a person keeps it; gives the authority's certificate.
async fn keep_own(context: &Context) -> Vec<u8> {
    let host = format!("{GATEWAY}.{}.svc", context.namespace);
    let issued = pki::issue(&pki::Store::default(), &[host], jiff::Timestamp::now());
    let issued = issued.expect("issued");
    let leaf = issued.leaf.expect("a certificate");
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "own"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": leaf.certificate_chain, "tls.key": leaf.private_key.expose()},
    });
    let applied = context.kubectl().apply(&secret.to_string()).await;
    applied.expect("applied");
    issued
        .ca
        .expect("an authority")
        .certificate_pem
        .into_bytes()
}

async fn a_certificate_of_ones_own_is_served_and_replaced_without_a_restart(context: Context) {
    let gateway = shop::open(&context).await;
    let before = lives_of_pods(&context).await;
    // These keep the connections that they have; new ones are those of `every_pod_serves_by`.
    let changes = async {
        let first = keep_own(&context).await;
        let own = json!({"spec": {"tls": {"selfSigned": null, "secretRef": {"name": "own"}}}});
        context.edit::<ClawGateway>(GATEWAY, &own).await;
        every_pod_serves_by(&context, &gateway, &first).await;
        let second = keep_own(&context).await;
        every_pod_serves_by(&context, &gateway, &second).await;
        let client = gateway.client_that_trusts(&first);
        ask(&gateway, &client)
            .await
            .expect_err("the first certificate is gone");
    };
    let ((), tally) = load::during(&gateway, changes).await;
    tally.expect_none_tried_again();
    wait_until_ready(&context, GATEWAY).await;
    assert_eq!(lives_of_pods(&context).await, before, "no pod restarts");
}
