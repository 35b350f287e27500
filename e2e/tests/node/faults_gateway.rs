//! What goes wrong with a gateway's pods, Secrets and images, while clients ask.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claw_crds::{ClawGateway, condition::HasConditions};
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
};
use kube::{
    ResourceExt,
    api::{ObjectMeta, PostParams},
};

use crate::{
    gateway::wait_until_ready,
    images::{GATEWAY_VARIABLE, image},
    load, platform,
    processes::{kill, lives, pods},
    shop::{self, GATEWAY},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        a_killed_pod_of_two_loses_no_request,
        a_deleted_secret_comes_back_and_loses_no_request,
        without_its_secret_a_key_is_refused_and_with_it_taken_again,
        an_image_that_cannot_be_pulled_leaves_the_old_pods_serving,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const RECOVERY: Duration = Duration::from_mins(2);
/// Until what somebody does to the keys holds in every pod.
const TAKE_OVER: Duration = Duration::from_secs(10);
const CLIENTS: usize = 4;
/// New connections that have to agree: each reaches one of two pods.
const WITNESSES: usize = 8;

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
    tally.expect_none_tried_again();
}

/// The API keys are somebody else's Secret: nobody makes it again but who made it.
async fn without_its_secret_a_key_is_refused_and_with_it_taken_again(context: Context) {
    let gateway = shop::open(&context).await;
    let before = lives(&pods(&context, &context.namespace, &selector()).await);
    let mut keys = context.find::<Secret>("keys").await.expect("there");
    keys.metadata = ObjectMeta {
        name: keys.metadata.name,
        labels: keys.metadata.labels,
        ..ObjectMeta::default()
    };
    let (is_over, statuses) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let client = async || {
        let client = gateway.client();
        while !is_over.load(Ordering::Relaxed) {
            let status = load::status(&gateway, &client).await;
            statuses.lock().expect("no panic").insert(status);
        }
    };
    let fault = async {
        // By new connections: each reaches one of the two pods.
        let all_get = async |wanted: u16| {
            let what = format!("every pod answers {wanted}");
            context
                .within(TAKE_OVER, &what, async || {
                    for _ in 0..WITNESSES {
                        let status = load::status(&gateway, &gateway.client()).await;
                        (status == wanted).then_some(())?;
                    }
                    Some(())
                })
                .await;
        };
        all_get(200).await;
        context.delete::<Secret>("keys").await;
        all_get(401).await;
        let secrets = context.api::<Secret>();
        let created = secrets.create(&PostParams::default(), &keys).await;
        created.expect("created");
        all_get(200).await;
        is_over.store(true, Ordering::Relaxed);
    };
    futures::join!(fault, join_all((0..CLIENTS).map(|_| client())));
    let statuses = statuses.into_inner().expect("no panic");
    assert_eq!(statuses, BTreeSet::from([200, 401]));
    let after = lives(&pods(&context, &context.namespace, &selector()).await);
    assert_eq!(after, before, "no pod restarts");
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
        let told = context
            .within(RECOVERY, "the status says what is wrong", async || {
                let gateway = context.find::<ClawGateway>(GATEWAY).await?;
                let status = gateway.status?;
                let mut conditions = status.conditions().iter();
                let found = conditions.find(|one| one.reason == "ImagePullBackOff")?;
                Some(found.message.clone())
            })
            .await;
        assert!(told.contains(&unknown), "{told}");
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
        let is_ready = ("Ready", "True", "Ready");
        context.reports::<ClawGateway>(GATEWAY, is_ready).await;
    };
    let ((), tally) = load::during(&gateway, fault).await;
    tally.expect_none_tried_again();
}

fn is_waiting_for_image(pod: &Pod) -> Option<bool> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let waiting = statuses.first()?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    Some(reason.contains("Image"))
}
