//! What keeps pods from serving is told in the gateway's status, and is gone from it when they serve. No kubelet and no
//! scheduler run here, so the test says what they would.

use claw_crds::{ClawGateway, condition::HasConditions};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    operator_changes::shop,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_pod_that_does_not_start_is_told_and_forgotten,
        an_old_version_that_serves_does_not_hide_a_new_one_that_does_not,
    ]
}

/// Wait until there are so many pods.
pub(crate) async fn pods(context: &Context, count: usize) -> Vec<Pod> {
    let api = context.api::<Pod>();
    context
        .eventually("the Deployment has its pods", async || {
            let pods = api.list(&ListParams::default()).await.ok()?.items;
            (pods.len() == count).then_some(pods)
        })
        .await
}

/// Report a pod's status, as its kubelet would.
pub(crate) async fn says(context: &Context, pod: &Pod, status: &Value) {
    let patch = Patch::Merge(json!({ "status": status }));
    let patched = context
        .api::<Pod>()
        .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await;
    patched.expect("the pod's status is written");
}

/// The status of a pod whose container is in that state.
pub(crate) fn container(state: &Value) -> Value {
    json!({"containerStatuses": [{
        "name": "gateway", "image": "clawdbot:test", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]})
}

/// The status of a pod that serves.
pub(crate) fn running() -> Value {
    let mut status = container(&json!({"running": {}}));
    status["phase"] = json!("Running");
    status["conditions"] =
        json!([{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]);
    status
}

/// As kstatus reads it: whether a condition of that type is there and True.
async fn shows(context: &Context, kind: &str, is_there: bool) {
    let what = format!("{kind} is {}", if is_there { "true" } else { "absent" });
    context
        .eventually(&what, async || {
            let gateway = context.find::<ClawGateway>(GATEWAY).await?;
            let status = gateway.status?;
            // What is told of another generation is not told of this one.
            if status.observed_generation != gateway.metadata.generation {
                return None;
            }
            let mut conditions = status.conditions().iter();
            let found = conditions.any(|one| one.type_ == kind && one.status == "True");
            (found == is_there).then_some(())
        })
        .await;
}

async fn a_pod_that_does_not_start_is_told_and_forgotten(context: Context) {
    let _operator = shop(&context).await;
    let pods = pods(&context, 2).await;
    shows(&context, "Reconciling", true).await;

    let unschedulable = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: too small",
    }]});
    says(&context, &pods[0], &unschedulable).await;
    let message = context
        .reports::<ClawGateway>(GATEWAY, ("Ready", "False", "Unschedulable"))
        .await;
    assert!(message.contains("0/3 nodes: too small"), "{message}");
    shows(&context, "Stalled", false).await;

    let pull = json!({"waiting": {"reason": "ErrImagePull", "message": "no such manifest"}});
    says(&context, &pods[1], &container(&pull)).await;
    let message = context
        .reports::<ClawGateway>(GATEWAY, ("Ready", "False", "ImagePullBackOff"))
        .await;
    assert!(message.contains("no such manifest"), "{message}");
    shows(&context, "Stalled", true).await;
    shows(&context, "Reconciling", false).await;

    for pod in &pods {
        says(&context, pod, &running()).await;
    }
    context
        .reports::<ClawGateway>(GATEWAY, ("Ready", "True", "Ready"))
        .await;
    shows(&context, "Stalled", false).await;
    shows(&context, "Reconciling", false).await;
}

async fn an_old_version_that_serves_does_not_hide_a_new_one_that_does_not(context: Context) {
    let _operator = shop(&context).await;
    for pod in pods(&context, 2).await {
        says(&context, &pod, &running()).await;
    }
    let ready = ("Ready", "True", "Ready");
    context.reports::<ClawGateway>(GATEWAY, ready).await;

    context
        .edit::<ClawGateway>(GATEWAY, &json!({"spec": {"size": "Large"}}))
        .await;
    // One more than wanted, and none less.
    let all = pods(&context, 3).await;
    let is_new = |pod: &&Pod| {
        pod.status
            .as_ref()
            .is_none_or(|status| status.container_statuses.is_none())
    };
    let new = all.iter().find(is_new).expect("a pod of the new version");
    shows(&context, "Reconciling", true).await;
    let crash = json!({"containerStatuses": [{
        "name": "gateway", "image": "clawdbot:test", "imageID": "", "ready": false, "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 64, "message": "{\"message\": \"no model fits\"}"}},
    }]});
    says(&context, new, &crash).await;
    let message = context
        .reports::<ClawGateway>(GATEWAY, ("Ready", "False", "CrashLoopBackOff"))
        .await;
    assert!(message.contains("2 of 2 pods serve"), "{message}");
    assert!(message.contains("exit code 64: no model fits"), "{message}");
    shows(&context, "Stalled", true).await;

    // Back to what served.
    context
        .edit::<ClawGateway>(GATEWAY, &json!({"spec": {"size": "Medium"}}))
        .await;
    pods(&context, 2).await;
    context.reports::<ClawGateway>(GATEWAY, ready).await;
    shows(&context, "Stalled", false).await;
}
