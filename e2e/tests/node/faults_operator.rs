//! The operator crashes, again and again, in the middle of its work.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use claw_crds::ClawGateway;
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::{
    gateway::wait_until_ready,
    load,
    platform::{NAMESPACE, RELEASE},
    processes::{kill, pods},
    shop::{self, GATEWAY},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        twenty_crashes_in_mid_reconcile_lose_nothing,
        another_operator_takes_over_within_seconds,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const CRASHES: i64 = 20;
const RECOVERY: Duration = Duration::from_mins(3);
const HAND_OVER: Duration = Duration::from_secs(20);

fn selector() -> String {
    format!("app.kubernetes.io/instance={RELEASE}")
}

/// Kill every operator that runs; how many there were.
async fn crash(context: &Context) -> usize {
    let operators = pods(context, NAMESPACE, &selector()).await;
    operators
        .iter()
        .filter(|pod| kill(pod, "claw-operator"))
        .count()
}

async fn twenty_crashes_in_mid_reconcile_lose_nothing(context: Context) {
    let gateway = shop::open(&context).await;
    let faults = async {
        for number in 1..=CRASHES {
            // Work for whoever leads: the termination is in the middle of it, or just before or after.
            let change = json!({"spec": {"resources": {"memory": format!("{}Mi", 256 + number)}}});
            let paused = json!({"metadata": {"annotations": {"test/crash": number.to_string()}}});
            let edit = if number == CRASHES { &change } else { &paused };
            context.edit::<ClawGateway>(GATEWAY, edit).await;
            let limits = json!({"spec": {"limits": {"requestsPerSecond": 100_000 + number}}});
            context.edit::<ClawGateway>(GATEWAY, &limits).await;
            context
                .within(RECOVERY, "an operator runs and is killed", async || {
                    (crash(&context).await > 0).then_some(())
                })
                .await;
        }
        context
            .within(RECOVERY, "the last change is made", async || {
                let deployment = context.find::<Deployment>(GATEWAY).await?;
                let template = deployment.spec?.template.spec?;
                let limits = template.containers.first()?.resources.clone()?.limits?;
                (limits.get("memory")?.0 == format!("{}Mi", 256 + CRASHES)).then_some(())
            })
            .await;
        wait_until_ready(&context, GATEWAY).await;
        context
            .run([
                "rollout",
                "status",
                "--timeout=180s",
                &format!("deployment/{GATEWAY}"),
            ])
            .await;
    };
    let ((), tally) = load::during(&gateway, faults).await;
    tally.expect_none_failed();
}

async fn another_operator_takes_over_within_seconds(context: Context) {
    let gateway = shop::open(&context).await;
    let leases = Api::<Lease>::namespaced(context.client.clone(), NAMESPACE);
    let holder = async || {
        let lease = leases.list(&kube::api::ListParams::default()).await.ok()?;
        let lease = lease.items.into_iter().next()?;
        lease
            .spec?
            .holder_identity
            .filter(|holder| !holder.is_empty())
    };
    let first = context.within(RECOVERY, "an operator leads", holder).await;
    let fault = async {
        let operators = pods(&context, NAMESPACE, &selector()).await;
        let leader = operators
            .iter()
            .find(|pod| first.starts_with(&pod.name_any()));
        let start = Instant::now();
        assert!(
            kill(leader.expect("the holder is a pod"), "claw-operator"),
            "it runs"
        );
        let limits = json!({"spec": {"limits": {"requestsPerSecond": 99_999}}});
        context.edit::<ClawGateway>(GATEWAY, &limits).await;
        context
            .within(HAND_OVER, "another operator does the work", async || {
                let gateway = context.find::<ClawGateway>(GATEWAY).await?;
                let observed = gateway.status?.observed_generation?;
                (Some(observed) == gateway.metadata.generation).then_some(())
            })
            .await;
        start.elapsed()
    };
    let (time, tally) = load::during(&gateway, fault).await;
    let _ = writeln!(
        std::io::stderr(),
        "operator killed to the next one's work: {:.1} s",
        time.as_secs_f64()
    );
    tally.expect_none_failed();
}
