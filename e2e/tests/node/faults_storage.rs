//! Too little room on the volume of a gateway.

use std::time::Duration;

use claw_crds::{ClawGateway, claw_gateway::ModelDevice, condition::HasConditions};
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use serde_json::json;

use crate::{
    gateway::wait_until_ready,
    load::{self, ask},
    processes::{lives, pods},
    shop::GATEWAY,
    volume::{self, VOLUME, shell},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![too_little_room_is_told_and_all_goes_on_when_there_is_enough];
    cases.into_iter().map(Case::alone).collect()
}

/// The gateway tries its volume every 15 seconds, and the kubelet looks every 5.
const PATIENCE: Duration = Duration::from_mins(2);

/// What Ready says while it is False.
async fn why_not_ready(context: &Context) -> Option<String> {
    let gateway = context.find::<ClawGateway>(GATEWAY).await?;
    let status = gateway.status?;
    let mut conditions = status.conditions().iter();
    let ready = conditions.find(|condition| condition.type_ == "Ready")?;
    (ready.status == "False").then(|| ready.message.clone())
}

async fn device(context: &Context, model: &str) -> Option<ModelDevice> {
    let gateway = context.find::<ClawGateway>(GATEWAY).await?;
    let mut devices = gateway.status?.devices.into_iter();
    devices.find(|device| device.model == model)
}

async fn too_little_room_is_told_and_all_goes_on_when_there_is_enough(context: Context) {
    let gateway = volume::open(&context).await;
    let selector = format!("app.kubernetes.io/instance={GATEWAY}");
    let before = lives(&pods(&context, &context.namespace, &selector).await);

    // A model that has no room: told in the status, and nobody else notices.
    let url = format!("http://provider.{}.svc:8080/huge.gguf", context.namespace);
    let huge = json!({"name": "huge", "local": {"source": {"http": {"url": url, "sha256": "0".repeat(64)}}}});
    let models = context.find::<ClawGateway>(GATEWAY).await.expect("there");
    let mut models = serde_json::to_value(&models.spec.models).expect("serializes");
    models.as_array_mut().expect("a list").push(huge);
    let fault = async {
        let change = json!({"spec": {"models": models}});
        context.edit::<ClawGateway>(GATEWAY, &change).await;
        context
            .within(PATIENCE, "the status tells what has no room", async || {
                let device = device(&context, "huge").await?;
                let reason = device.reason.unwrap_or_default();
                (device.device == "None" && reason.contains("spec.storage.size")).then_some(())
            })
            .await;
    };
    let ((), tally) = load::during(&gateway, fault).await;
    tally.expect_none_tried_again();
    wait_until_ready(&context, GATEWAY).await;

    // Somebody fills the volume: state could be lost, so the gateway asks for no more requests and says why.
    let filled = format!("cat /dev/zero > {VOLUME}/filler");
    assert!(!shell(&context, &filled).await, "no space is left");
    context
        .within(PATIENCE, "the status tells what to do", async || {
            let why = why_not_ready(&context).await?;
            (why.contains("cannot be written") && why.contains("free some space")).then_some(())
        })
        .await;

    assert!(shell(&context, &format!("rm {VOLUME}/filler")).await);
    wait_until_ready(&context, GATEWAY).await;
    context
        .eventually("the gateway answers again", async || {
            ask(&gateway, &gateway.client()).await.ok()
        })
        .await;
    let after = lives(&pods(&context, &context.namespace, &selector).await);
    assert_eq!(after, before, "nothing was restarted");
}
