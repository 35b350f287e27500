//! Steady state makes no write: by the operator's own count, and by the API server's record.

use std::time::Duration;

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    objects::Kind,
    operator::{Operator, audited},
    operator_changes::shop,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        reconciling_again_writes_nothing,
        a_crash_and_a_restart_write_nothing,
    ]
}

/// An operator, the shop, and nothing left to do.
async fn settled_shop(context: &Context) -> Operator {
    let operator = shop(context).await;
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<Channel>("web", programmed).await;
    context.reports::<Channel>("bot", programmed).await;
    // The pods' creation is the last that the Deployment has to tell.
    context
        .becomes::<Deployment>(GATEWAY, &json!({"status": {"replicas": 2}}))
        .await;
    context
        .becomes::<ClawGateway>(GATEWAY, &json!({"status": {"replicas": 2}}))
        .await;
    quiet(context, &operator).await;
    operator
}

/// Wait until nothing has been reconciled for a while. This only keeps the count that follows clean; an operator
/// that never rests fails here.
pub(crate) async fn quiet(context: &Context, operator: &Operator) {
    const REST: Duration = Duration::from_secs(1);
    let mut last = operator.reconciles().await;
    context
        .eventually("the operator rests", async || {
            tokio::time::sleep(REST).await;
            let now = operator.reconciles().await;
            let is_resting = now == last;
            last = now;
            is_resting.then_some(())
        })
        .await;
}

async fn touch<K: Kind>(context: &Context, name: &str, round: u32) {
    let change = json!({"metadata": {"annotations": {"shop/round": round.to_string()}}});
    context.edit::<K>(name, &change).await;
}

async fn reconciling_again_writes_nothing(context: Context) {
    let operator = settled_shop(&context).await;
    let (written, recorded) = (operator.writes().await, audited(&context));
    assert!(written > 0, "the operator counts its writes");
    for round in 1..=5 {
        let reconciles = operator.reconciles().await;
        touch::<ClawGateway>(&context, GATEWAY, round).await;
        touch::<ModelRoute>(&context, "pages", round).await;
        touch::<Channel>(&context, "web", round).await;
        touch::<Deployment>(&context, GATEWAY, round).await;
        context
            .eventually("the touched objects are reconciled", async || {
                (operator.reconciles().await > reconciles).then_some(())
            })
            .await;
        quiet(&context, &operator).await;
    }
    assert_eq!(operator.writes().await, written, "the operator has written");
    assert_eq!(
        audited(&context),
        recorded,
        "the API server has seen writes"
    );
}

async fn a_crash_and_a_restart_write_nothing(context: Context) {
    let operator = settled_shop(&context).await;
    let recorded = audited(&context);
    if let Some(writes) = &recorded {
        assert!(
            writes.len() >= 9,
            "nine children and four statuses: {writes:#?}"
        );
    }
    operator.kill();
    let operator = Operator::start(&context).await;
    context
        .eventually("the new operator reconciles", async || {
            (operator.reconciles().await > 0).then_some(())
        })
        .await;
    quiet(&context, &operator).await;
    assert_eq!(operator.writes().await, 0, "the new operator has written");
    assert_eq!(
        audited(&context),
        recorded,
        "the API server has seen writes"
    );
}
