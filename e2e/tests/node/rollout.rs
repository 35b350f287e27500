//! Pods are replaced by those of another template, which may be good or not.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use claw_crds::{
    ClawGateway,
    condition::{HasConditions, RECONCILING},
};
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::ResourceExt;
use serde_json::json;

use crate::{
    gateway::{self, wait_until_ready},
    load,
    processes::pods,
    shop::{self, GATEWAY},
    streams,
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        a_rolling_update_cuts_no_stream_and_keeps_two_pods_ready,
        pods_that_never_get_ready_leave_the_old_ones_serving,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const PATIENCE: Duration = Duration::from_mins(3);
const REPLICAS: usize = 2;

/// The pods that nobody has told to end.
async fn pods_to_stay(context: &Context) -> Vec<Pod> {
    let selector = format!("app.kubernetes.io/instance={GATEWAY}");
    pods(context, &context.namespace, &selector).await
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn uids(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(ResourceExt::uid).collect()
}

/// Change the pods' template, and wait until the operator has changed it.
async fn edit_pods(context: &Context, change: &serde_json::Value) {
    let generation = async || {
        let deployment = context.find::<Deployment>(GATEWAY).await;
        deployment.expect("there").metadata.generation
    };
    let before = generation().await;
    context.edit::<ClawGateway>(GATEWAY, change).await;
    context
        .eventually("the Deployment is changed", async || {
            (generation().await != before).then_some(())
        })
        .await;
}

async fn a_rolling_update_cuts_no_stream_and_keeps_two_pods_ready(context: Context) {
    let gateway = shop::open(&context).await;
    let models = streams::offer(&context).await;
    let change = json!({"spec": {"models": models}});
    gateway::change(&context, GATEWAY, &change).await;
    streams::route(&context).await;
    wait_until_ready(&context, GATEWAY).await;

    let roll = async {
        let before = pods_to_stay(&context).await;
        assert_eq!(before.len(), REPLICAS);
        let before = uids(&before);
        let open = streams::open(&gateway).await;
        edit_pods(
            &context,
            &json!({"spec": {"resources": {"memory": "300Mi"}}}),
        )
        .await;
        let rolled = async {
            context
                .within(PATIENCE, "all pods are new", async || {
                    let pods = pods_to_stay(&context).await;
                    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
                    assert!(ready >= REPLICAS, "{ready} pods are ready");
                    assert!(pods.len() <= REPLICAS + 1, "{} pods", pods.len());
                    let is_new = pods.len() == REPLICAS && uids(&pods).is_disjoint(&before);
                    is_new.then(Instant::now)
                })
                .await
        };
        let (rolled, ends) = futures::join!(rolled, streams::read(open));
        let is_later = |end: &Instant| *end > rolled;
        assert!(ends.iter().all(is_later), "the streams were over too soon");
    };
    let ((), tally) = load::during(&gateway, roll).await;
    tally.expect_none_failed();
}

/// A local model that is not there: a pod is ready once all its models are loaded, but one that serves already goes on.
async fn pods_that_never_get_ready_leave_the_old_ones_serving(context: Context) {
    const MISSING: &str = "/models/missing";
    let gateway = shop::open(&context).await;
    let spec = context
        .find::<ClawGateway>(GATEWAY)
        .await
        .expect("there")
        .spec;
    let models = serde_json::to_value(&spec.models).expect("serializes");
    let mut more = models.clone();
    let missing = json!({"name": "missing", "local": {"source": {"path": MISSING}}});
    more.as_array_mut().expect("a list").push(missing);
    let roll = async {
        let before = uids(&pods_to_stay(&context).await);
        let bad = json!({"spec": {"models": more, "resources": {"memory": "320Mi"}}});
        edit_pods(&context, &bad).await;
        context
            .within(PATIENCE, "the status says why", async || {
                let pods = pods_to_stay(&context).await;
                let old = pods.iter().filter(|pod| {
                    is_ready(pod) && pod.uid().is_some_and(|uid| before.contains(&uid))
                });
                assert_eq!(old.count(), REPLICAS, "the old pods serve");
                let is_running = |pod: &Pod| {
                    let phase = pod
                        .status
                        .as_ref()
                        .and_then(|status| status.phase.as_deref());
                    phase == Some("Running")
                };
                let new = pods.iter().find(|pod| !is_ready(pod) && is_running(pod));
                let status = context.find::<ClawGateway>(GATEWAY).await?.status?;
                let mut conditions = status.conditions().iter();
                let told = conditions.find(|one| one.type_ == RECONCILING)?;
                (new.is_some() && told.message.contains(MISSING)).then_some(())
            })
            .await;
        let good = json!({"spec": {"models": models, "resources": {"memory": "256Mi"}}});
        edit_pods(&context, &good).await;
        context
            .within(PATIENCE, "the pods are the old ones again", async || {
                let pods = pods_to_stay(&context).await;
                (uids(&pods) == before && pods.iter().all(is_ready)).then_some(())
            })
            .await;
        wait_until_ready(&context, GATEWAY).await;
    };
    let ((), tally) = load::during(&gateway, roll).await;
    tally.expect_none_failed();
}
