//! What `kubectl describe` tells somebody whose gateway does not work: the cause, what to do, and what happened.

use claw_crds::ClawGateway;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    operator_changes::shop,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![a_missing_secret_is_described_with_its_remedy_and_an_event]
}

async fn described(context: &Context) -> String {
    context.run(["describe", "cgw", GATEWAY]).await
}

/// Conditions and Events, without the spaces that kubectl aligns them with.
fn sections(described: &str) -> Option<(String, String)> {
    let (object, events) = described.split_once("\nEvents:")?;
    let (_, conditions) = object.split_once("Conditions:")?;
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some((plain(conditions), plain(events)))
}

async fn a_missing_secret_is_described_with_its_remedy_and_an_event(context: Context) {
    const REMEDY: &str = "create it";
    let _operator = shop(&context).await;
    context.delete::<Secret>("provider").await;
    let missing = ("ResolvedRefs", "False", "SecretNotFound");
    let message = context.reports::<ClawGateway>(GATEWAY, missing).await;
    for part in ["\"provider\"", REMEDY] {
        assert!(message.contains(part), "{message}\nlacks {part}");
    }
    // Events come after the status, and kubectl shows those that there are.
    let (conditions, events) = context
        .eventually("kubectl describe shows a Warning", async || {
            let sections = sections(&described(&context).await)?;
            sections.1.contains("Warning").then_some(sections)
        })
        .await;
    for part in ["Reason: SecretNotFound", "Type: ResolvedRefs", &message] {
        assert!(conditions.contains(part), "{conditions}\nlacks {part}");
    }
    for part in ["Warning SecretNotFound", &message, "claw-operator"] {
        assert!(events.contains(part), "{events}\nlacks {part}");
    }

    let token = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "provider"},
        "stringData": {"token": "token-of-the-provider"},
    });
    let created = context.kubectl().apply(&token.to_string()).await;
    created.expect("created");
    context
        .eventually("kubectl describe shows that it is found", async || {
            let (conditions, events) = sections(&described(&context).await)?;
            let is_found = events.contains("Normal ResolvedRefs");
            (is_found && !conditions.contains("SecretNotFound")).then_some(())
        })
        .await;
}
