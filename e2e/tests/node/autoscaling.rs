//! Load makes more pods, by real metrics; fewer pods cut no stream.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use claw_crds::ClawGateway;
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::{
    gateway::wait_until_ready,
    load,
    shop::{self, GATEWAY},
    streams,
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![load_makes_two_pods_more_and_fewer_pods_cut_no_stream];
    cases.into_iter().map(Case::alone).collect()
}

/// Metrics come every 15 seconds, and the autoscaler looks as often; a machine that compiles beside it is slower.
const PATIENCE: Duration = Duration::from_mins(4);

/// Wanted and ready pods.
async fn replicas(context: &Context) -> Option<(i32, i32)> {
    let deployment = context.find::<Deployment>(GATEWAY).await?;
    let ready = deployment.status?.ready_replicas.unwrap_or_default();
    Some((deployment.spec?.replicas?, ready))
}

async fn load_makes_two_pods_more_and_fewer_pods_cut_no_stream(context: Context) {
    let gateway = shop::open(&context).await;
    let models = streams::offer(&context).await;
    let scaling = json!({"minReplicas": 2, "maxReplicas": 4, "cpuUtilization": 50, "windowSeconds": 5, "stepPods": 2});
    // The request is so small that few questions are load; the new template is rolled out before they begin.
    let change = json!({"spec": {
        "replicas": null, "autoscaling": scaling, "models": models,
        "resources": {"cpu": "20m", "memory": "256Mi"},
    }});
    context.edit::<ClawGateway>(GATEWAY, &change).await;
    streams::route(&context).await;
    wait_until_ready(&context, GATEWAY).await;
    let rollout = format!("deployment/{GATEWAY}");
    context
        .run(["rollout", "status", "--timeout=180s", &rollout])
        .await;

    let scale = async {
        let mut wanted = BTreeSet::new();
        context
            .within(PATIENCE, "two pods more are ready", async || {
                let (all, ready) = replicas(&context).await?;
                wanted.insert(all);
                (ready == 4).then_some(())
            })
            .await;
        assert_eq!(wanted, BTreeSet::from([2, 4]), "by two at a time");
        let open = streams::open(&gateway).await;
        let fewer = json!({"spec": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}}});
        context.edit::<ClawGateway>(GATEWAY, &fewer).await;
        let lowered = async {
            context
                .within(PATIENCE, "one pod is left", async || {
                    (replicas(&context).await? == (1, 1)).then(Instant::now)
                })
                .await
        };
        let (lowered, ends) = futures::join!(lowered, streams::read(open));
        let is_later = |end: &Instant| *end > lowered;
        assert!(ends.iter().all(is_later), "the streams were over too soon");
    };
    let ((), tally) = load::during(&gateway, scale).await;
    tally.expect_none_failed();
}
