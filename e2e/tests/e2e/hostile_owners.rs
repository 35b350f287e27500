//! Objects of users that stand in the operator's way, or pretend to be its own.

use claw_crds::ClawGateway;
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{Secret, Service},
    },
};
use kube::{
    Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    hostile::{apply, config, gateway, is_unharmed, town},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        an_object_of_a_user_is_never_taken_over,
        our_labels_alone_make_nothing_ours,
        an_object_of_one_gateway_is_not_anothers,
        a_forged_configuration_is_put_right,
        a_forged_owner_lets_nobody_keep_a_secret_in_our_name,
        secrets_full_of_junk_harm_their_users_alone,
    ]
}

const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");
const APPLY_FAILED: (&str, &str, &str) = ("Programmed", "False", "ApplyFailed");

/// Objects of a user, named like children of the gateway `late`, each with its kind and name.
fn in_the_way(labels: &Value) -> Vec<(&'static str, &'static str, Value)> {
    let of = |api_version: &str, kind: &str, name: &str| {
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "labels": labels, "annotations": {"example.com/by": "a user"}},
        })
    };
    let mut secret = of("v1", "Secret", "late-config");
    secret["stringData"] = json!({"mine": "precious"});
    let mut service = of("v1", "Service", "late");
    service["spec"] = json!({"ports": [{"port": 80}], "selector": {"app": "mine"}});
    let mut deployment = of("apps/v1", "Deployment", "late");
    deployment["spec"] = json!({
        "replicas": 0,
        "selector": {"matchLabels": {"app": "mine"}},
        "template": {
            "metadata": {"labels": {"app": "mine"}},
            "spec": {"containers": [{"name": "mine", "image": "mine:1"}]},
        },
    });
    let account = of("v1", "ServiceAccount", "late");
    vec![
        ("serviceaccount", "late", account),
        ("secret", "late-config", secret),
        ("service", "late", service),
        ("deployment", "late", deployment),
    ]
}

/// One after the other, since the first in the way is the one that is told of.
async fn are_told_of_and_left_alone(context: &Context, labels: &Value) {
    let operator = town(context, "victim").await;
    for (kind, name, object) in in_the_way(labels) {
        apply(context, &[object]).await;
        let version = [
            "get",
            kind,
            name,
            "--output=jsonpath={.metadata.resourceVersion}",
        ];
        let before = context.run(version).await;
        let applied = context.kubectl().apply(&gateway("late")).await;
        applied.expect("applied");
        let message = context.reports::<ClawGateway>("late", APPLY_FAILED).await;
        for part in [
            name,
            "does not belong to this gateway",
            "rename or delete it",
        ] {
            assert!(message.contains(part), "{message}\nlacks {part}");
        }
        assert!(message.to_lowercase().contains(kind), "{message}");
        if kind != "deployment" {
            assert_eq!(context.run(version).await, before, "the {kind} was written");
        }
        is_unharmed(context, &operator).await;
        // As told.
        context.run(["delete", kind, name]).await;
        context.reports::<ClawGateway>("late", PROGRAMMED).await;
        context.delete::<ClawGateway>("late").await;
        for (kind, name) in [("deployment", "late"), ("secret", "late-config")] {
            let wait = ["wait", "--for=delete", "--timeout=60s", kind, name];
            context.run(wait).await;
        }
        context.vanishes::<Service>("late").await;
        let accounts = [
            "wait",
            "--for=delete",
            "--timeout=60s",
            "serviceaccount",
            "late",
        ];
        context.run(accounts).await;
    }
}

async fn an_object_of_a_user_is_never_taken_over(context: Context) {
    are_told_of_and_left_alone(&context, &json!({})).await;
}

async fn our_labels_alone_make_nothing_ours(context: Context) {
    let labels = json!({
        "app.kubernetes.io/managed-by": "claw-operator",
        "app.kubernetes.io/name": "clawdbot",
        "app.kubernetes.io/instance": "late",
    });
    are_told_of_and_left_alone(&context, &labels).await;
}

/// Owner references as the operator would write them.
async fn owned_by(context: &Context, gateway: &str, name: &str) -> ObjectMeta {
    let owner = context.find::<ClawGateway>(gateway).await.expect("there");
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(
            [("app.kubernetes.io/managed-by", "claw-operator")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        owner_references: owner.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

async fn plant(context: &Context, metadata: ObjectMeta, entry: (&str, &[u8])) {
    let (key, value) = entry;
    let secret = Secret {
        metadata,
        data: Some([(key.to_owned(), ByteString(value.to_vec()))].into()),
        ..Secret::default()
    };
    let planted = context.api().create(&PostParams::default(), &secret).await;
    planted.expect("planted");
}

async fn an_object_of_one_gateway_is_not_anothers(context: Context) {
    let operator = town(&context, "victim").await;
    // Named for a gateway that comes later, owned by one that is there.
    let metadata = owned_by(&context, "victim", "late-ca").await;
    // It is extra to its owner, who removes it, or it stands in the way: never is it used.
    plant(&context, metadata, ("tls.crt", b"forged")).await;
    let applied = context.kubectl().apply(&gateway("late")).await;
    applied.expect("applied");
    context.reports::<ClawGateway>("late", PROGRAMMED).await;
    let authority = context.find::<Secret>("late-ca").await.expect("issued");
    let data = authority.data.clone().unwrap_or_default();
    assert!(data.values().all(|value| value.0 != b"forged"));
    let owner = &authority.owner_references()[0];
    assert_eq!(owner.name, "late");
    is_unharmed(&context, &operator).await;
}

async fn a_forged_configuration_is_put_right(context: Context) {
    let operator = town(&context, "victim").await;
    let forged = json!({
        "metadata": {"annotations": {"example.com/by": "a user"}},
        "stringData": {"config.json": "{\"schemaVersion\": 1, \"auth\": \"none\"}", "more": "x"},
    });
    context.edit::<Secret>("victim-config", &forged).await;
    context
        .eventually("the configuration is put right", async || {
            let config = config(&context, "victim").await?;
            config.to_string().contains("^/victim").then_some(())
        })
        .await;
    // A Deployment that hands itself to somebody else is in the way, like any other.
    let theft = json!({"metadata": {"ownerReferences": null}});
    context.edit::<Deployment>("victim", &theft).await;
    let message = context.reports::<ClawGateway>("victim", APPLY_FAILED).await;
    assert!(message.contains("Deployment victim"), "{message}");
    context.delete::<Deployment>("victim").await;
    context.reports::<ClawGateway>("victim", PROGRAMMED).await;
    is_unharmed(&context, &operator).await;
}

async fn a_forged_owner_lets_nobody_keep_a_secret_in_our_name(context: Context) {
    let operator = town(&context, "victim").await;
    let metadata = owned_by(&context, "victim", "smuggled").await;
    plant(&context, metadata, ("x", b"y")).await;
    // Ours by its own word, and wanted by nobody: pruned, like what was wanted once.
    context.vanishes::<Secret>("smuggled").await;
    is_unharmed(&context, &operator).await;
}

async fn secrets_full_of_junk_harm_their_users_alone(context: Context) {
    let operator = town(&context, "victim").await;
    let junk: [(&str, Vec<u8>); 5] = [
        ("binary", (0..=255).collect()),
        ("empty", Vec::new()),
        ("lines", b"a\nb\r\nAuthorization: x".to_vec()),
        ("spaces", b"   ".to_vec()),
        ("huge", vec![b'k'; 1_000_000]),
    ];
    for (name, value) in &junk {
        let metadata = ObjectMeta {
            name: Some((*name).to_owned()),
            ..ObjectMeta::default()
        };
        plant(&context, metadata, ("token", value)).await;
        let mut user: Value = json!({
            "apiVersion": "claw.dev/v1alpha1",
            "kind": "ClawGateway",
            "metadata": {"name": format!("user-of-{name}")},
            "spec": {"auth": {"anonymous": {}}, "models": [{"name": "big", "remote": {
                "provider": "OpenAI",
                "baseURL": "https://provider.invalid/v1",
                "credentials": {"secretKeyRef": {"name": name, "key": "token"}},
            }}]},
        });
        apply(&context, std::slice::from_ref(&user)).await;
        let message = told(&context, &format!("user-of-{name}"), "ResolvedRefs").await;
        assert!(message.contains(&format!("Secret {name} ")), "{message}");
        assert!(
            message.contains("spec.models[0].remote.credentials"),
            "{message}"
        );
        assert!(message.len() < 4096, "{} bytes", message.len());
        // The same as a certificate.
        user["metadata"]["name"] = json!(format!("server-of-{name}"));
        user["spec"]["models"][0]["remote"]["credentials"] = Value::Null;
        user["spec"]["tls"] = json!({"secretRef": {"name": name}});
        apply(&context, &[user]).await;
        let message = told(&context, &format!("server-of-{name}"), "ResolvedRefs").await;
        assert!(message.contains("spec.tls.secretRef"), "{message}");
    }
    is_unharmed(&context, &operator).await;
    assert!(
        !operator.log().contains("kkkkkkkk"),
        "a Secret is in the log"
    );
}

/// The message of a condition that is False, for the spec of now.
async fn told(context: &Context, gateway: &str, condition: &str) -> String {
    context
        .eventually(&format!("{gateway} has {condition}=False"), async || {
            let gateway = context.find::<ClawGateway>(gateway).await?;
            let conditions = gateway.status.as_ref()?.conditions.clone();
            let found = conditions
                .into_iter()
                .find(|found| found.type_ == condition)?;
            (found.status == "False").then_some(found.message)
        })
        .await
}
