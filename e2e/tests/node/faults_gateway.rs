//! What goes wrong with a gateway's pods, Secrets and images, while clients ask.

use std::time::Duration;

use claw_crds::ClawGateway;
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
};
use kube::ResourceExt;

use crate::{
    gateway::wait_until_ready,
    images::{GATEWAY_VARIABLE, image},
    load, platform,
    processes::{kill, pods},
    shop::{self, GATEWAY},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        a_killed_pod_of_two_loses_no_request,
        a_deleted_secret_comes_back_and_loses_no_request,
        an_image_that_cannot_be_pulled_leaves_the_old_pods_serving,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const RECOVERY: Duration = Duration::from_mins(2);

fn selector() -> String {
    format!("app.kubernetes.io/instance={GATEWAY}")
}

async fn a_killed_pod_of_two_loses_no_request(context: Context) {
    let gateway = shop::open(&context).await;
    let fault = async {
        let before = pods(&context, &context.namespace, &selector()).await;
        let victim = before.first().expect("a pod").name_any();
        assert!(kill(&before[0], "clawdbot"), "it runs");
        context
            .within(RECOVERY, "the pod is restarted and ready", async || {
                let pods = pods(&context, &context.namespace, &selector()).await;
                let pod = pods.into_iter().find(|pod| pod.name_any() == victim)?;
                let statuses = pod.status?.container_statuses?;
                statuses
                    .first()
                    .filter(|status| status.restart_count == 1 && status.ready)?;
                Some(())
            })
            .await;
    };
    let ((), tally) = load::during(&gateway, fault).await;
    tally.expect_none_failed();
}

async fn a_deleted_secret_comes_back_and_loses_no_request(context: Context) {
    let gateway = shop::open(&context).await;
    let fault = async {
        for name in [format!("{GATEWAY}-config"), format!("{GATEWAY}-tls")] {
            let before = context
                .find::<Secret>(&name)
                .await
                .expect("made by the operator");
            context.delete::<Secret>(&name).await;
            context
                .eventually("the Secret is made again", async || {
                    let secret = context.find::<Secret>(&name).await?;
                    (secret.uid() != before.uid()).then_some(())
                })
                .await;
        }
        wait_until_ready(&context, GATEWAY).await;
    };
    let ((), tally) = load::during(&gateway, fault).await;
    tally.expect_none_failed();
}

async fn an_image_that_cannot_be_pulled_leaves_the_old_pods_serving(context: Context) {
    let gateway = shop::open(&context).await;
    let unknown = platform::unknown_image().name;
    let fault = async {
        platform::upgrade(&context, &unknown).await;
        context
            .within(
                RECOVERY,
                "the new image is rolled out in vain",
                async || {
                    let pods = pods(&context, &context.namespace, &selector()).await;
                    let waits = pods
                        .iter()
                        .any(|pod| is_waiting_for_image(pod) == Some(true));
                    waits.then_some(())
                },
            )
            .await;
        let deployment = context.find::<Deployment>(GATEWAY).await.expect("there");
        let status = deployment.status.expect("reported");
        assert_eq!(status.available_replicas, Some(2), "the old pods serve");
        platform::upgrade(&context, &image(GATEWAY_VARIABLE).name).await;
        context
            .within(RECOVERY, "the old image is back", async || {
                let deployment = context.find::<Deployment>(GATEWAY).await?;
                let status = deployment.status?;
                let is_done = status.updated_replicas == Some(2) && status.replicas == Some(2);
                is_done.then_some(())
            })
            .await;
        wait_until_ready(&context, GATEWAY).await;
        context
            .find::<ClawGateway>(GATEWAY)
            .await
            .expect("still there");
    };
    let ((), tally) = load::during(&gateway, fault).await;
    tally.expect_none_failed();
}

fn is_waiting_for_image(pod: &Pod) -> Option<bool> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let waiting = statuses.first()?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    Some(reason.contains("Image"))
}
