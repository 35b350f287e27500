//! A wish for new certificates is fulfilled once, and clients of the old ones notice nothing.

use claw_crds::ClawGateway;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::api::ListParams;
use serde_json::json;

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    operator_changes::shop,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![new_certificates_are_issued_once_for_each_wish]
}

async fn entry(context: &Context, secret: &str, key: &str) -> String {
    let name = format!("{GATEWAY}-{secret}");
    let secret = context.find::<Secret>(&name).await.expect("there");
    let bytes = secret.data.and_then(|mut data| data.remove(key));
    String::from_utf8(bytes.expect("the entry is there").0).expect("PEM")
}

async fn wish(context: &Context, value: &str) {
    let annotations = json!({"metadata": {"annotations": {"claw.dev/rotate-certificates": value}}});
    context.edit::<ClawGateway>(GATEWAY, &annotations).await;
    let recorded = json!({"metadata": {"annotations": {"claw.dev/rotate-certificates": value}}});
    context
        .becomes::<Secret>(&format!("{GATEWAY}-ca"), &recorded)
        .await;
}

async fn new_certificates_are_issued_once_for_each_wish(context: Context) {
    let _operator = shop(&context).await;
    let first = entry(&context, "ca", "ca.crt").await;
    for round in 1..=2 {
        let (authority, leaf) = (
            entry(&context, "ca", "ca.crt").await,
            entry(&context, "tls", "tls.crt").await,
        );
        wish(&context, &round.to_string()).await;
        context
            .eventually("another leaf is served", async || {
                (entry(&context, "tls", "tls.crt").await != leaf).then_some(())
            })
            .await;
        let trusted = entry(&context, "tls", "ca.crt").await;
        let new = entry(&context, "ca", "ca.crt").await;
        assert_ne!(new, authority);
        assert!(trusted.contains(&new), "clients trust the new authority");
        assert!(trusted.contains(&authority), "and the one before");
        let chain = entry(&context, "tls", "tls.crt").await;
        assert_eq!(
            chain.matches("BEGIN CERTIFICATE").count(),
            1 + round,
            "a leaf, and what leads to it from each authority before"
        );
    }
    let trusted = entry(&context, "tls", "ca.crt").await;
    assert!(trusted.contains(&first), "a leaf of it may still be served");
    let leaf = entry(&context, "tls", "tls.crt").await;
    // Another reconcile, the same wish.
    context
        .edit::<ClawGateway>(GATEWAY, &json!({"spec": {"replicas": 1}}))
        .await;
    context
        .becomes::<ClawGateway>(GATEWAY, &json!({"status": {"replicasSummary": "0/1"}}))
        .await;
    assert_eq!(entry(&context, "tls", "tls.crt").await, leaf);
    let events = context.api::<Event>();
    context
        .eventually("an Event tells of it", async || {
            let events = events.list(&ListParams::default()).await.ok()?.items;
            let mut reasons = events.into_iter().filter_map(|event| event.reason);
            reasons
                .any(|reason| reason == "CertificateRotated")
                .then_some(())
        })
        .await;
}
