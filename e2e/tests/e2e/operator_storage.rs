//! Claims for models: kept or not, grown, and taken over.

use claw_crds::ClawGateway;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PersistentVolumeClaim};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_claim_outlives_its_gateway_and_serves_the_next,
        a_claim_goes_where_that_is_wanted,
        a_claim_grows_and_does_not_shrink,
    ]
}

const CLAIM: &str = "helpdesk-state";

async fn apply(context: &Context, storage: &Value) {
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": GATEWAY},
        "spec": {
            "models": [{"name": "small", "local": {"source": {"path": "/models/small"}}}],
            "auth": {"anonymous": {}},
            "storage": storage,
        },
    });
    let applied = context.kubectl().apply(&gateway.to_string()).await;
    applied.expect("applied");
    context
        .reports::<ClawGateway>(GATEWAY, ("Programmed", "True", "Programmed"))
        .await;
}

async fn strategy(context: &Context, strategy: &str) {
    let part = json!({"spec": {"strategy": {"type": strategy}}});
    context.becomes::<Deployment>(GATEWAY, &part).await;
}

async fn a_claim_outlives_its_gateway_and_serves_the_next(context: Context) {
    let _operator = Operator::start(&context).await;
    // First without: an existing Deployment has to change its strategy.
    apply(&context, &json!({"size": "1Gi"})).await;
    strategy(&context, "RollingUpdate").await;
    apply(
        &context,
        &json!({"size": "1Gi", "persistentVolumeClaim": {}}),
    )
    .await;
    strategy(&context, "Recreate").await;
    let volume = json!({"spec": {"template": {"spec": {"volumes": [
        {"name": "state", "persistentVolumeClaim": {"claimName": CLAIM}}, {"name": "tmp"},
    ]}}}});
    context.becomes::<Deployment>(GATEWAY, &volume).await;
    let asked = json!({"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    let claim = context
        .becomes::<PersistentVolumeClaim>(CLAIM, &asked)
        .await;
    assert_eq!(claim.owner_references(), []);

    context.delete::<ClawGateway>(GATEWAY).await;
    context.vanishes::<Deployment>(GATEWAY).await;
    apply(
        &context,
        &json!({"size": "1Gi", "persistentVolumeClaim": {}}),
    )
    .await;
    let kept = context.find::<PersistentVolumeClaim>(CLAIM).await;
    assert_eq!(kept.expect("kept").uid(), claim.uid());
}

async fn a_claim_goes_where_that_is_wanted(context: Context) {
    let _operator = Operator::start(&context).await;
    apply(
        &context,
        &json!({"size": "1Gi", "persistentVolumeClaim": {}}),
    )
    .await;
    let deleted = json!({"size": "1Gi", "persistentVolumeClaim": {"whenDeleted": "Delete"}});
    apply(&context, &deleted).await;
    let owned =
        json!({"metadata": {"ownerReferences": [{"kind": "ClawGateway", "name": GATEWAY}]}});
    context
        .becomes::<PersistentVolumeClaim>(CLAIM, &owned)
        .await;
    context
        .edit::<ClawGateway>(
            GATEWAY,
            &json!({"spec": {"storage": {"persistentVolumeClaim": null}}}),
        )
        .await;
    strategy(&context, "RollingUpdate").await;
    context
        .eventually("the claim is deleted", async || {
            // Nobody here takes off the API server's finalizer.
            let claim = context.find::<PersistentVolumeClaim>(CLAIM).await;
            claim
                .is_none_or(|claim| claim.metadata.deletion_timestamp.is_some())
                .then_some(())
        })
        .await;
}

async fn a_claim_grows_and_does_not_shrink(context: Context) {
    let _operator = Operator::start(&context).await;
    // Cluster-wide, so named like the namespace.
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": context.namespace},
        "provisioner": "example.com/none", "allowVolumeExpansion": true,
    });
    context
        .kubectl()
        .apply(&class.to_string())
        .await
        .expect("applied");
    let sized = |size: Option<&str>| {
        let claim = json!({"storageClassName": context.namespace});
        match size {
            Some(size) => json!({"size": size, "persistentVolumeClaim": claim}),
            None => json!({"persistentVolumeClaim": claim}),
        }
    };
    apply(&context, &sized(Some("60Gi"))).await;
    let bound =
        Patch::Merge(json!({"status": {"phase": "Bound", "capacity": {"storage": "60Gi"}}}));
    let patched = context
        .api::<PersistentVolumeClaim>()
        .patch_status(CLAIM, &PatchParams::default(), &bound)
        .await;
    patched.expect("the claim's status is written");

    apply(&context, &sized(Some("70Gi"))).await;
    let grown = json!({"spec": {"resources": {"requests": {"storage": "70Gi"}}}});
    context
        .becomes::<PersistentVolumeClaim>(CLAIM, &grown)
        .await;

    // A smaller number is refused at once; a smaller size of the gateway (50Gi) is told.
    apply(&context, &sized(None)).await;
    let message = context
        .reports::<ClawGateway>(GATEWAY, ("Accepted", "False", "Invalid"))
        .await;
    assert!(message.contains("the claim has 70Gi"), "{message}");
    context
        .becomes::<PersistentVolumeClaim>(CLAIM, &grown)
        .await;
    context
        .run(["delete", "storageclass", &context.namespace])
        .await;
}
