//! Several operators: one leads, and another takes over.

use claw_crds::ClawGateway;
use k8s_openapi::api::coordination::v1::Lease;

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    operator::{Launch, Operator},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_second_operator_waits_and_takes_over_when_the_first_stops,
        a_second_operator_takes_over_when_the_first_crashes,
    ]
}

async fn elected(context: &Context, name: &str) -> Operator {
    let launch = Launch {
        name,
        with_election: true,
    };
    Operator::launch(context, launch).await
}

async fn leads(context: &Context, operator: &Operator) {
    context
        .eventually("the operator leads", async || {
            operator.is_ready().await.then_some(())
        })
        .await;
}

async fn holder(context: &Context) -> String {
    let lease = context.find::<Lease>("claw-operator").await;
    let spec = lease.and_then(|lease| lease.spec);
    spec.and_then(|spec| spec.holder_identity)
        .unwrap_or_default()
}

/// Two operators: the first leads.
async fn two(context: &Context) -> (Operator, Operator) {
    let first = elected(context, "first").await;
    leads(context, &first).await;
    let second = elected(context, "second").await;
    context
        .eventually("the second is up and waits", async || {
            second.is_standby().await.then_some(())
        })
        .await;
    assert_eq!(holder(context).await, "first");
    (first, second)
}

async fn reconciles(context: &Context) {
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    context
        .reports::<ClawGateway>(GATEWAY, ("Programmed", "True", "Programmed"))
        .await;
}

async fn a_second_operator_waits_and_takes_over_when_the_first_stops(context: Context) {
    let (first, second) = two(&context).await;
    reconciles(&context).await;
    assert_eq!(
        second.writes().await,
        second.lease_writes().await,
        "only the leader writes"
    );
    first.terminate().await;
    leads(&context, &second).await;
    assert_eq!(holder(&context).await, "second");
    let edit = [
        "patch",
        "cgw/helpdesk",
        "--type=merge",
        "--patch",
        r#"{"spec":{"replicas":3}}"#,
    ];
    context.run(edit).await;
    context
        .becomes::<ClawGateway>(
            GATEWAY,
            &serde_json::json!({"status": {"replicasSummary": "0/3"}}),
        )
        .await;
}

async fn a_second_operator_takes_over_when_the_first_crashes(context: Context) {
    let (first, second) = two(&context).await;
    first.kill();
    leads(&context, &second).await;
    assert_eq!(holder(&context).await, "second");
    reconciles(&context).await;
}
