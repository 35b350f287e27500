//! Backup and restore as docs/backup.md tells it: what was deleted comes back, under the authority that clients trust.

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    hostile::config,
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![deleted_objects_come_back_from_a_backup]
}

const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");
const OBJECTS: &str = "clawgateways,modelroutes,channels";
const NOT_OURS: &str = "--selector=app.kubernetes.io/managed-by!=claw-operator";

/// What the API server sets itself, and would refuse or misread on another object.
const OF_THE_OLD_OBJECT: [&str; 6] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

/// The backup: objects as they are stored, in YAML, less what belongs to the old ones alone.
async fn saved<const N: usize>(context: &Context, what: [&str; N]) -> String {
    let get = [&["get", "--output=yaml"], &what[..]].concat();
    let listed = context.kubectl().run(get).await.expect("listed").stdout;
    let mut saved: Value = serde_yaml::from_str(&listed).expect("YAML");
    match saved.pointer_mut("/items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(clean),
        None => clean(&mut saved),
    }
    serde_yaml::to_string(&saved).expect("YAML")
}

fn clean(object: &mut Value) {
    let object = object.as_object_mut().expect("an object");
    object.remove("status");
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    for field in OF_THE_OLD_OBJECT {
        metadata.remove(field);
    }
}

async fn is_programmed(context: &Context) {
    context.reports::<ClawGateway>(GATEWAY, PROGRAMMED).await;
    context.reports::<ModelRoute>("pages", PROGRAMMED).await;
    context.reports::<Channel>("web", PROGRAMMED).await;
    context.reports::<Channel>("bot", PROGRAMMED).await;
}

/// What clients trust.
async fn trusted(context: &Context) -> Option<Vec<u8>> {
    let secret = context.find::<Secret>(&format!("{GATEWAY}-tls")).await?;
    Some(secret.data?.get("ca.crt")?.0.clone())
}

/// The parts of the configuration that the objects decide; the certificate is issued anew.
async fn rendered(context: &Context) -> Value {
    let config = config(context, GATEWAY).await.expect("rendered");
    json!({
        "models": config["models"],
        "routes": config["routes"],
        "channels": config["channels"],
        "auth": config["auth"],
    })
}

async fn deleted_objects_come_back_from_a_backup(context: Context) {
    let _operator = Operator::start(&context).await;
    let applied = context.kubectl().apply(&idle_shop()).await;
    applied.expect("applied");
    is_programmed(&context).await;
    let (before, trusted_before) = (rendered(&context).await, trusted(&context).await);

    let objects = saved(&context, [OBJECTS]).await;
    let secrets = saved(&context, ["secrets", NOT_OURS]).await;
    let authority = saved(&context, ["secret", &format!("{GATEWAY}-ca")]).await;
    context.run(["delete", OBJECTS, "--all"]).await;
    context.run(["delete", "secrets", NOT_OURS]).await;
    context.vanishes::<Deployment>(GATEWAY).await;
    context.vanishes::<Secret>(&format!("{GATEWAY}-ca")).await;

    for backup in [&secrets, &objects] {
        let restored = context.kubectl().apply(backup).await;
        restored.expect("restored");
    }
    is_programmed(&context).await;
    // A new authority by now. The old one in its place signs a new certificate, and clients go on trusting it.
    assert_ne!(trusted(&context).await, trusted_before);
    let restored = context.kubectl().apply(&authority).await;
    restored.expect("restored");
    context
        .eventually("the certificate is of the old authority", async || {
            (trusted(&context).await == trusted_before).then_some(())
        })
        .await;
    is_programmed(&context).await;
    assert_eq!(rendered(&context).await, before);
}
