//! The operator crashes, again and again, in the middle of its work.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use claw_crds::ClawGateway;
use claw_e2e::{
    cases,
    control_plane::AuditedRequest,
    testing::{Case, Context, holds},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{Pod, Service},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};

use crate::{
    gateway::wait_until_ready,
    load,
    platform::{NAMESPACE, RELEASE},
    processes::{end, find, kill, lives, pods},
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
/// Between two looks at the audit log: a reconcile takes some ten times as long.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
/// What an edit makes the operator write: Secret, Service and NetworkPolicy, and the status.
const WRITES: usize = 4;

/// Who holds the operators' Lease; a pod's name.
async fn holder(context: &Context) -> Option<String> {
    let leases = Api::<Lease>::namespaced(context.client.clone(), NAMESPACE);
    let lease = leases.list(&ListParams::default()).await.ok()?;
    let holder = lease.items.into_iter().next()?.spec?.holder_identity?;
    (!holder.is_empty()).then_some(holder)
}

/// The pod that holds the Lease.
async fn leader(context: &Context) -> Pod {
    context
        .within(RECOVERY, "an operator leads", async || {
            let holder = holder(context).await?;
            let selector = format!("app.kubernetes.io/instance={RELEASE}");
            let operators = pods(context, NAMESPACE, &selector).await;
            let leader = operators.into_iter().find(|pod| pod.name_any() == holder)?;
            (!find(&leader, "claw-operator").is_empty()).then_some(leader)
        })
        .await
}

/// Wait until somebody has done what the spec of now says.
async fn is_done(context: &Context, within: Duration) {
    context
        .within(within, "the edit is done", async || {
            let gateway = context.find::<ClawGateway>(GATEWAY).await?;
            let observed = gateway.status?.observed_generation?;
            (Some(observed) == gateway.metadata.generation).then_some(())
        })
        .await;
}

/// An edit that changes several objects, but no pod.
fn edit(number: i64) -> Value {
    json!({"spec": {
        "limits": {"requestsPerSecond": 100_000 + number},
        "service": {"annotations": {"test/crash": number.to_string()}},
        "networkPolicy": {"egress": [{"ports": [{"port": 20_000 + number}]}]},
    }})
}

/// What the operator has written for the test since then.
fn writes_after(context: &Context, end: u64) -> Vec<AuditedRequest> {
    let operator = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
    let mut writes = context.node().audit().writes_after(end);
    writes.retain(|write| write.user == operator && write.namespace == context.namespace);
    writes
}

/// Edit, and kill the leader as soon as it has written the first object; gives how many it has written in all.
async fn crash(context: &Context, edit: &Value) -> usize {
    let leader = leader(context).await;
    let processes = find(&leader, "claw-operator");
    let start = context.node().audit().end();
    context.edit::<ClawGateway>(GATEWAY, edit).await;
    let deadline = Instant::now() + RECOVERY;
    while writes_after(context, start).is_empty() {
        assert!(Instant::now() < deadline, "nobody does the edit");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let killed = processes.into_iter().filter(|process| end(*process));
    assert!(killed.count() > 0, "the leader ran until now");
    let written = writes_after(context, start).len();
    assert_eq!(holder(context).await, Some(leader.name_any()));
    written
}

/// Whether everything is as this edit says.
async fn expect_done(context: &Context, number: i64) {
    let service = json!({"metadata": {"annotations": {"test/crash": number.to_string()}}});
    context.becomes::<Service>(GATEWAY, &service).await;
    let policies = context.api::<NetworkPolicy>();
    let policies = policies.list(&ListParams::default()).await.expect("listed");
    let port = json!(20_000 + number);
    let rules = policies
        .items
        .iter()
        .filter_map(|policy| policy.spec.as_ref()?.egress.as_ref());
    let ports = rules
        .flatten()
        .filter_map(|rule| rule.ports.as_ref())
        .flatten();
    let ports: Vec<Value> = ports.map(|port| json!(port.port)).collect();
    assert!(ports.contains(&port), "{ports:?}");
}

async fn twenty_crashes_in_mid_reconcile_lose_nothing(context: Context) {
    let gateway = shop::open(&context).await;
    let selector = format!("app.kubernetes.io/instance={GATEWAY}");
    let before = lives(&pods(&context, &context.namespace, &selector).await);
    let faults = async {
        let mut unfinished = 0;
        for number in 1..=CRASHES {
            if crash(&context, &edit(number)).await < WRITES {
                unfinished += 1;
            }
            is_done(&context, RECOVERY).await;
            expect_done(&context, number).await;
        }
        unfinished
    };
    let (unfinished, tally) = load::during(&gateway, faults).await;
    let _ = writeln!(
        std::io::stderr(),
        "leader killed {CRASHES} times, {unfinished} times between two writes"
    );
    assert!(unfinished > CRASHES / 2, "the kills came too late");
    tally.expect_none_tried_again();
    wait_until_ready(&context, GATEWAY).await;
    let after = lives(&pods(&context, &context.namespace, &selector).await);
    assert_eq!(after, before, "no edit was about the pods");
    // And one that is.
    let change = json!({"spec": {"resources": {"memory": "300Mi"}}});
    crash(&context, &change).await;
    is_done(&context, RECOVERY).await;
    let deployment = context.find::<Deployment>(GATEWAY).await.expect("there");
    let deployment = serde_json::to_value(&deployment).expect("serializes");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let limits = json!({"resources": {"limits": {"memory": "300Mi"}}});
    assert!(holds(container, &limits), "{container:#}");
    let rollout = format!("deployment/{GATEWAY}");
    context
        .run(["rollout", "status", "--timeout=180s", &rollout])
        .await;
    wait_until_ready(&context, GATEWAY).await;
}

async fn another_operator_takes_over_within_seconds(context: Context) {
    let gateway = shop::open(&context).await;
    let first = leader(&context).await;
    let operators = Api::<Pod>::namespaced(context.client.clone(), NAMESPACE);
    let at_once = DeleteParams::default().grace_period(0);
    let fault = async {
        let start = Instant::now();
        // It gets no time to give the Lease back, and its container does not start again.
        assert!(kill(&first, "claw-operator"), "it runs");
        let deleted = operators.delete(&first.name_any(), &at_once).await;
        deleted.expect("deleted");
        let limits = json!({"spec": {"limits": {"requestsPerSecond": 99_999}}});
        context.edit::<ClawGateway>(GATEWAY, &limits).await;
        is_done(&context, RECOVERY).await;
        start.elapsed()
    };
    let (time, tally) = load::during(&gateway, fault).await;
    let _ = writeln!(
        std::io::stderr(),
        "operator killed to the next one's work: {:.1} s",
        time.as_secs_f64()
    );
    let second = holder(&context).await.expect("somebody leads");
    assert_ne!(second, first.name_any());
    assert!(time < HAND_OVER, "{time:?}");
    tally.expect_none_tried_again();
}
