//! The operator comes, changes and goes; what it has made serves on, untouched.

use std::{collections::BTreeMap, path::Path};

use claw_crds::{ClawGateway, ModelRoute};
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PersistentVolumeClaim},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use crate::{
    gateway::{self, wait_until_ready},
    images::{GATEWAY_VARIABLE, OPERATOR_VARIABLE, image},
    load::{self, ask},
    platform::{self, NAMESPACE, RELEASE, chart, helm},
    processes::{lives, pods},
    shop::{self, GATEWAY, ROUTE},
    volume::{self, VOLUME, shell},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        another_version_of_the_operator_and_back_leave_the_pods_alone,
        without_the_operator_the_pods_serve_and_another_one_picks_up_again,
        what_is_on_a_volume_outlives_the_operator,
    ];
    cases.into_iter().map(Case::alone).collect()
}

async fn lives_of_pods(context: &Context) -> BTreeMap<String, i32> {
    let selector = format!("app.kubernetes.io/instance={GATEWAY}");
    let pods = pods(context, &context.namespace, &selector).await;
    assert_eq!(pods.len(), 2, "the gateway has two pods");
    lives(&pods)
}

/// How often anybody but the cluster's own controllers has written Deployments of the test.
fn deployment_writes(context: &Context) -> usize {
    let writes = context.node().audit().writes().into_iter();
    writes
        .filter(|write| {
            write.namespace == context.namespace
                && write.resource == "deployments"
                && !write.user.starts_with("system:serviceaccount:kube-system:")
        })
        .count()
}

/// Have the operator that runs do something, so that its own view of everything is known to be complete.
async fn works(context: &Context, requests_per_second: u32) {
    let change = json!({"spec": {"limits": {"requestsPerSecond": requests_per_second}}});
    gateway::change(context, GATEWAY, &change).await;
    wait_until_ready(context, GATEWAY).await;
}

/// The image that the running operators have.
async fn operator_images(context: &Context) -> Vec<String> {
    let selector = format!("app.kubernetes.io/instance={RELEASE}");
    let pods = pods(context, NAMESPACE, &selector).await;
    let mut images: Vec<String> = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.containers[0].image.clone())
        .collect();
    images.dedup();
    images
}

async fn another_version_of_the_operator_and_back_leave_the_pods_alone(context: Context) {
    let gateway = shop::open(&context).await;
    let (pods_before, writes_before) = (lives_of_pods(&context).await, deployment_writes(&context));
    let this = image(OPERATOR_VARIABLE).name;
    let (repository, _) = this.rsplit_once(':').expect("repository:tag");
    let next = format!("{repository}:next");
    let tag = [
        "--namespace",
        "k8s.io",
        "images",
        "tag",
        "--force",
        &this,
        &next,
    ];
    let tagged = context.node().run(Path::new("ctr"), &tag).await;
    tagged.expect("tagged");
    let changes = async {
        let operator = chart("claw-operator");
        let upgrade = [
            "upgrade",
            RELEASE,
            &operator,
            "--reuse-values",
            "--set",
            "image.tag=next",
            "--wait",
        ];
        helm(&context, &upgrade).await;
        works(&context, 99_998).await;
        assert_eq!(operator_images(&context).await, [next.as_str()]);
        assert_eq!(
            lives_of_pods(&context).await,
            pods_before,
            "after the upgrade"
        );
        helm(&context, &["rollback", RELEASE, "--wait"]).await;
        works(&context, 99_997).await;
        assert_eq!(operator_images(&context).await, [this.as_str()]);
    };
    let ((), tally) = load::during(&gateway, changes).await;
    tally.expect_none_tried_again();
    assert_eq!(
        lives_of_pods(&context).await,
        pods_before,
        "after the rollback"
    );
    assert_eq!(deployment_writes(&context), writes_before);
}

async fn uninstall(context: &Context) {
    helm(context, &["uninstall", RELEASE, "--wait"]).await;
    helm(context, &["uninstall", "claw-crds", "--wait"]).await;
}

async fn install(context: &Context) {
    helm(context, &["install", "claw-crds", &chart("claw-crds")]).await;
    platform::upgrade(context, &image(GATEWAY_VARIABLE).name).await;
}

async fn without_the_operator_the_pods_serve_and_another_one_picks_up_again(context: Context) {
    let gateway = shop::open(&context).await;
    works(&context, 99_996).await;
    let (pods_before, writes_before) = (lives_of_pods(&context).await, deployment_writes(&context));
    let deployment = context.find::<Deployment>(GATEWAY).await.expect("there");
    let client = gateway.client();
    let changes = async {
        uninstall(&context).await;
        assert_eq!(operator_images(&context).await, Vec::<String>::new());
        let definitions = Api::<CustomResourceDefinition>::all(context.client.clone());
        let definitions = definitions.list(&ListParams::default()).await;
        let groups = definitions.expect("listed").items;
        let ours = groups.iter().filter(|one| one.spec.group == "claw.dev");
        assert_eq!(
            ours.count(),
            3,
            "the definitions stay, and so their objects"
        );
        context.find::<ClawGateway>(GATEWAY).await.expect("stays");
        assert_eq!(
            lives_of_pods(&context).await,
            pods_before,
            "without an operator"
        );
        // Served later: there is nobody to take it over now.
        let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": "bigger"}]}});
        context.edit::<ModelRoute>(ROUTE, &routes).await;
        assert_eq!(ask(&gateway, &client).await.as_deref(), Ok("big"));
        install(&context).await;
        context
            .eventually("the edit from before is served", async || {
                let answer = ask(&gateway, &client).await;
                (answer.as_deref() == Ok("bigger")).then_some(())
            })
            .await;
        works(&context, 99_995).await;
    };
    let ((), tally) = load::during(&gateway, changes).await;
    tally.expect_none_tried_again();
    assert_eq!(
        lives_of_pods(&context).await,
        pods_before,
        "picked up again"
    );
    assert_eq!(deployment_writes(&context), writes_before);
    let after = context.find::<Deployment>(GATEWAY).await.expect("there");
    assert_eq!(after.uid(), deployment.uid());
    assert_eq!(after.metadata.generation, deployment.metadata.generation);
}

async fn what_is_on_a_volume_outlives_the_operator(context: Context) {
    let _gateway = volume::open(&context).await;
    let claim = async || {
        let name = format!("{GATEWAY}-state");
        let claim = context.find::<PersistentVolumeClaim>(&name).await;
        claim.expect("there").uid().expect("a stored claim has one")
    };
    let before = claim().await;
    let kept = format!("{VOLUME}/kept");
    assert!(shell(&context, &format!("echo hello > {kept}")).await);
    let is_kept = format!("grep --quiet hello {kept}");
    uninstall(&context).await;
    assert_eq!(claim().await, before);
    assert!(shell(&context, &is_kept).await);
    install(&context).await;
    works(&context, 99_994).await;
    assert_eq!(claim().await, before);
    assert!(shell(&context, &is_kept).await);
}
