//! The children follow every edit, and come back from every interference.

use claw_crds::{ClawGateway, ModelRoute};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Secret, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    objects::Kind,
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        the_deployment_follows_the_scale_and_the_size,
        the_configuration_follows_the_routes,
        an_autoscaler_comes_and_goes,
        tls_is_switched_off_and_on,
        drift_is_mended,
        deleted_children_come_back,
        a_deleted_gateway_takes_its_children_along,
    ]
}

/// An operator and the shop, programmed.
pub(crate) async fn shop(context: &Context) -> Operator {
    let operator = Operator::start(context).await;
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    is_programmed(context).await;
    operator
}

/// Programmed with all that it refers to: a Secret may reach the operator after the gateway that names it.
async fn is_programmed(context: &Context) {
    let resolved = ("ResolvedRefs", "True", "ResolvedRefs");
    context.reports::<ClawGateway>(GATEWAY, resolved).await;
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ClawGateway>(GATEWAY, programmed).await;
    context.reports::<ModelRoute>("pages", programmed).await;
}

async fn the_deployment_follows_the_scale_and_the_size(context: Context) {
    let _operator = shop(&context).await;
    let scale = ["scale", "cgw/helpdesk", "--replicas=3"];
    context.run(scale).await;
    context
        .becomes::<Deployment>(GATEWAY, &json!({"spec": {"replicas": 3}}))
        .await;
    context
        .becomes::<ClawGateway>(GATEWAY, &json!({"status": {"replicasSummary": "0/3"}}))
        .await;
    context
        .edit::<ClawGateway>(GATEWAY, &json!({"spec": {"size": "Large"}}))
        .await;
    let large = json!({"spec": {"template": {"spec": {"containers": [
        {"resources": {"requests": {"cpu": "16", "memory": "64Gi"}}},
    ]}}}});
    context.becomes::<Deployment>(GATEWAY, &large).await;
    // One replica needs no budget: it would only block drains.
    context
        .edit::<ClawGateway>(GATEWAY, &json!({"spec": {"replicas": 1}}))
        .await;
    context.vanishes::<PodDisruptionBudget>(GATEWAY).await;
}

/// The patterns in the rendered configuration.
async fn patterns(context: &Context) -> Vec<String> {
    let secret = context.find::<Secret>(&format!("{GATEWAY}-config")).await;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let Some(bytes) = data.get("config.json") else {
        return Vec::new();
    };
    let config: Value = serde_json::from_slice(&bytes.0).expect("a configuration is JSON");
    let routes = config["routes"].as_array().into_iter().flatten();
    routes
        .map(|route| route["pattern"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn the_configuration_follows_the_routes(context: Context) {
    let _operator = shop(&context).await;
    let before = context.find::<Deployment>(GATEWAY).await.expect("there");
    let routes = json!({"spec": {"routes": [{"pattern": "^/new", "model": "big"}]}});
    context.edit::<ModelRoute>("pages", &routes).await;
    context
        .eventually("the configuration has the new route", async || {
            (patterns(&context).await == ["^/new"]).then_some(())
        })
        .await;
    context
        .becomes::<ModelRoute>("pages", &json!({"status": {"routes": 1}}))
        .await;
    context.delete::<ModelRoute>("pages").await;
    context
        .eventually("the configuration has no route", async || {
            patterns(&context).await.is_empty().then_some(())
        })
        .await;
    // Routes are taken over by the running pods.
    let after = context.find::<Deployment>(GATEWAY).await.expect("there");
    assert_eq!(
        before.metadata.generation, after.metadata.generation,
        "the pods were restarted"
    );
}

async fn an_autoscaler_comes_and_goes(context: Context) {
    let _operator = shop(&context).await;
    let scaled = json!({"spec": {"replicas": null, "autoscaling": {"maxReplicas": 4}}});
    context.edit::<ClawGateway>(GATEWAY, &scaled).await;
    let bounds = json!({"spec": {"minReplicas": 1, "maxReplicas": 4}});
    context
        .becomes::<HorizontalPodAutoscaler>(GATEWAY, &bounds)
        .await;
    is_programmed(&context).await;
    // The number is the autoscaler's now: another one is no drift.
    context
        .edit::<Deployment>(GATEWAY, &json!({"spec": {"replicas": 4}}))
        .await;
    context
        .becomes::<ClawGateway>(GATEWAY, &json!({"status": {"replicasSummary": "0/4"}}))
        .await;
    context
        .becomes::<Deployment>(GATEWAY, &json!({"spec": {"replicas": 4}}))
        .await;
    let fixed = json!({"spec": {"replicas": 2, "autoscaling": null}});
    context.edit::<ClawGateway>(GATEWAY, &fixed).await;
    context.vanishes::<HorizontalPodAutoscaler>(GATEWAY).await;
    context
        .becomes::<Deployment>(GATEWAY, &json!({"spec": {"replicas": 2}}))
        .await;
}

async fn tls_is_switched_off_and_on(context: Context) {
    let _operator = shop(&context).await;
    let (tls, ca) = (format!("{GATEWAY}-tls"), format!("{GATEWAY}-ca"));
    let disabled = json!({"spec": {"tls": {"selfSigned": null, "disabled": {}}}});
    context.edit::<ClawGateway>(GATEWAY, &disabled).await;
    context.vanishes::<Secret>(&tls).await;
    context
        .becomes::<Service>(GATEWAY, &json!({"spec": {"ports": [{"name": "http"}]}}))
        .await;
    let endpoint = format!("http://{GATEWAY}.{}.svc:18789", context.namespace);
    context
        .becomes::<ClawGateway>(GATEWAY, &json!({"status": {"endpoint": endpoint}}))
        .await;
    let own = json!({"spec": {"tls": {"selfSigned": {}, "disabled": null}}});
    context.edit::<ClawGateway>(GATEWAY, &own).await;
    context
        .becomes::<Secret>(&tls, &json!({"type": "kubernetes.io/tls"}))
        .await;
    context
        .becomes::<Secret>(&ca, &json!({"type": "Opaque"}))
        .await;
}

async fn drift_is_mended(context: Context) {
    let _operator = shop(&context).await;
    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "gateway", "image": image}]}}}});
    let foreign = Patch::Strategic(image("evil:1"));
    let patched = context
        .api::<Deployment>()
        .patch(GATEWAY, &PatchParams::default(), &foreign)
        .await;
    patched.expect("edited");
    let expected =
        json!({"spec": {"template": {"spec": {"containers": [{"image": "clawdbot:test"}]}}}});
    context.becomes::<Deployment>(GATEWAY, &expected).await;

    context
        .edit::<Service>(
            GATEWAY,
            &json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
        )
        .await;
    let selector = json!({"spec": {"selector": {"app.kubernetes.io/instance": GATEWAY}}});
    context.becomes::<Service>(GATEWAY, &selector).await;

    context
        .edit::<Role>(
            GATEWAY,
            &json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
        )
        .await;
    let rules = json!({"rules": [{"resources": ["secrets"], "resourceNames": [format!("{GATEWAY}-config")]}]});
    context.becomes::<Role>(GATEWAY, &rules).await;

    let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    context
        .edit::<Secret>(&format!("{GATEWAY}-config"), &label)
        .await;
    let labelled =
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "claw-operator"}}});
    context
        .becomes::<Secret>(&format!("{GATEWAY}-config"), &labelled)
        .await;
}

async fn comes_back<K: Kind>(context: &Context, name: &str) {
    let before = context.find::<K>(name).await.expect("there").uid();
    context.delete::<K>(name).await;
    let what = format!("{} {name} is back", K::kind(&()));
    context
        .eventually(&what, async || {
            let found = context.find::<K>(name).await?;
            (found.uid() != before).then_some(())
        })
        .await;
}

async fn deleted_children_come_back(context: Context) {
    let _operator = shop(&context).await;
    comes_back::<Deployment>(&context, GATEWAY).await;
    comes_back::<Service>(&context, GATEWAY).await;
    comes_back::<ServiceAccount>(&context, GATEWAY).await;
    comes_back::<Role>(&context, GATEWAY).await;
    comes_back::<RoleBinding>(&context, GATEWAY).await;
    comes_back::<PodDisruptionBudget>(&context, GATEWAY).await;
    comes_back::<Secret>(&context, &format!("{GATEWAY}-config")).await;
    comes_back::<Secret>(&context, &format!("{GATEWAY}-tls")).await;
    is_programmed(&context).await;
}

async fn a_deleted_gateway_takes_its_children_along(context: Context) {
    let _operator = shop(&context).await;
    context.delete::<ClawGateway>(GATEWAY).await;
    context.vanishes::<Deployment>(GATEWAY).await;
    context.vanishes::<Service>(GATEWAY).await;
    context.vanishes::<ServiceAccount>(GATEWAY).await;
    context.vanishes::<Role>(GATEWAY).await;
    context.vanishes::<RoleBinding>(GATEWAY).await;
    context.vanishes::<PodDisruptionBudget>(GATEWAY).await;
    for suffix in ["config", "ca", "tls"] {
        context
            .vanishes::<Secret>(&format!("{GATEWAY}-{suffix}"))
            .await;
    }
    // What is the user's stays, and says what it lacks.
    let message = context
        .reports::<ModelRoute>("pages", ("ResolvedRefs", "False", "GatewayNotFound"))
        .await;
    assert!(message.contains(GATEWAY), "{message}");
    assert!(context.find::<Secret>("keys").await.is_some());
}
