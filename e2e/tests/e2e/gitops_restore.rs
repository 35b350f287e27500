//! Backup and restore by the very commands of docs/backup.md: what was deleted comes back, under the authority that clients trust.

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    helm::repository,
    hostile::config,
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![deleted_objects_come_back_from_a_backup]
}

const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");
const OBJECTS: &str = "clawgateways,modelroutes,channels";
const NOT_OURS: &str = "--selector=app.kubernetes.io/managed-by!=claw-operator";

/// The commands of the documentation, block by block.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/backup.md")).expect("there");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix("```sh") else {
            continue;
        };
        let end = format!("{indent}```");
        let block = lines.by_ref().take_while(|line| **line != end);
        let block: Vec<&str> = block
            .map(|line| line.strip_prefix(indent).unwrap_or(line))
            .collect();
        blocks.push(block.join("\n"));
    }
    blocks
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

    let blocks = documented();
    let [back_up, restore, restore_authorities] = &blocks[..] else {
        unreachable!("docs/backup.md has other commands: {blocks:#?}")
    };
    let directory = context.directory();
    let kubectl = context.kubectl();
    let run = async |script: &str| {
        let ran = kubectl.run_script(script, &directory).await;
        ran.expect("the documented commands succeed");
    };
    run(back_up).await;
    context.run(["delete", OBJECTS, "--all"]).await;
    context.run(["delete", "secrets", NOT_OURS]).await;
    context.vanishes::<Deployment>(GATEWAY).await;
    context.vanishes::<Secret>(&format!("{GATEWAY}-ca")).await;

    run(restore).await;
    is_programmed(&context).await;
    // A new authority by now. The old one in its place signs a new certificate, and clients go on trusting it.
    assert_ne!(trusted(&context).await, trusted_before);
    run(restore_authorities).await;
    context
        .eventually("the certificate is of the old authority", async || {
            (trusted(&context).await == trusted_before).then_some(())
        })
        .await;
    is_programmed(&context).await;
    assert_eq!(rendered(&context).await, before);
}
