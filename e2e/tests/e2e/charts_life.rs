//! Install, upgrade, roll back, uninstall: what is the user's stays.

use claw_crds::ClawGateway;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceAccount},
        policy::v1::PodDisruptionBudget,
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::Api;
use serde_json::json;

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    helm::{Helm, chart},
};

pub(crate) fn cases() -> Vec<Case> {
    // It takes over the definitions that every test uses.
    cases![the_charts_come_and_go_and_the_objects_stay]
        .into_iter()
        .map(Case::alone)
        .collect()
}

async fn the_charts_come_and_go_and_the_objects_stay(context: Context) {
    let helm = Helm::of(&context);
    let (crds, operator) = (chart("claw-crds"), chart("claw-operator"));
    let kinds = context.namespace.replace("e2e", "crds");
    // They were installed by kubectl, as a user may have done before.
    let install = ["install", &kinds, &crds, "--take-ownership"];
    helm.run(install, &json!({})).await.expect("installed");
    let applied = context.kubectl().apply(&idle_shop()).await;
    applied.expect("applied");

    // The name is also that of cluster roles, so it is the test's own.
    let release = context.namespace.clone();
    let name = format!("{release}-claw-operator");
    let install = ["install", &release, &operator];
    helm.run(install, &json!({})).await.expect("installed");
    let two = json!({"spec": {"replicas": 2}});
    context.becomes::<Deployment>(&name, &two).await;
    assert!(context.find::<ServiceAccount>(&name).await.is_some());
    assert!(context.find::<PodDisruptionBudget>(&name).await.is_some());
    let cluster_roles = Api::<ClusterRole>::all(context.client.clone());
    let is_there = async |name: &str| {
        cluster_roles
            .get_opt(name)
            .await
            .expect("an answer")
            .is_some()
    };
    assert!(is_there(&name).await);

    let upgrade = ["upgrade", &release, &operator];
    let values = json!({"replicas": 1, "image": {"tag": "next"}, "namespaced": true});
    helm.run(upgrade, &values).await.expect("upgraded");
    let one = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "claw-operator:next"}]}}}});
    context.becomes::<Deployment>(&name, &one).await;
    context.vanishes::<PodDisruptionBudget>(&name).await;
    // In one namespace, no cluster role is left over.
    assert!(!is_there(&name).await);

    helm.run(["rollback", &release, "1"], &json!({}))
        .await
        .expect("rolled back");
    context.becomes::<Deployment>(&name, &two).await;
    assert!(is_there(&name).await);

    let upgrade = ["upgrade", &kinds, &crds];
    helm.run(upgrade, &json!({"labels": {"team": "platform"}}))
        .await
        .expect("upgraded");
    for release in [&release, &kinds] {
        helm.run(["uninstall", release], &json!({}))
            .await
            .expect("uninstalled");
    }
    context.vanishes::<Deployment>(&name).await;
    context
        .vanishes::<Service>(&format!("{name}-metrics"))
        .await;
    assert!(!is_there(&name).await);
    // The kinds and their objects are still there.
    let definitions = Api::<CustomResourceDefinition>::all(context.client.clone());
    for definition in claw_crds::crd_yaml::definitions() {
        let name = definition.metadata.name.expect("named");
        let live = definitions.get(&name).await.expect("still there");
        assert!(live.metadata.deletion_timestamp.is_none(), "{name}");
    }
    let gateway = context.find::<ClawGateway>(GATEWAY).await;
    let gateway = gateway.expect("the gateway is still there");
    assert!(gateway.metadata.deletion_timestamp.is_none());
}
