//! What the tests of hostile objects share: a gateway that minds its own business beside them, and proof that it is
//! unharmed.

use claw_crds::{ClawGateway, ModelRoute};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{context::Context, operator::Operator};

/// The gateway beside.
const NEIGHBOUR: &str = "neighbour";
const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");

/// A gateway with one model that needs nothing else, and one route.
pub(crate) fn gateway(name: &str) -> String {
    format!(
        "
{{apiVersion: claw.dev/v1alpha1, kind: ClawGateway, metadata: {{name: {name}}},
 spec: {{auth: {{anonymous: {{}}}}, models: [{{name: big, remote: {{provider: OpenAI, baseURL: 'https://provider.invalid/v1'}}}}]}}}}
---
{{apiVersion: claw.dev/v1alpha1, kind: ModelRoute, metadata: {{name: {name}}},
 spec: {{gatewayRef: {{name: {name}}}, routes: [{{pattern: ^/{name}, model: big}}]}}}}
"
    )
}

/// A route of `gateway` with this pattern.
pub(crate) fn route(gateway: &str, name: &str, pattern: &str) -> Value {
    json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name},
        "spec": {"gatewayRef": {"name": gateway}, "routes": [{"pattern": pattern, "model": "big"}]},
    })
}

/// A channel of `gateway`.
pub(crate) fn channel(gateway: &str, name: &str) -> Value {
    json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "Channel",
        "metadata": {"name": name},
        "spec": {"gatewayRef": {"name": gateway}, "model": "big", "webSocket": {}, "access": {"direct": "Open"}},
    })
}

/// Apply objects as one list.
pub(crate) async fn apply(context: &Context, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let applied = context.kubectl().apply(&list.to_string()).await;
    applied.expect("applied");
}

/// The rendered configuration of a gateway, if there is one.
pub(crate) async fn config(context: &Context, gateway: &str) -> Option<Value> {
    let secret = context.find::<Secret>(&format!("{gateway}-config")).await?;
    let data = secret.data?;
    let bytes = data.get("config.json")?;
    Some(serde_json::from_slice(&bytes.0).expect("a configuration is JSON"))
}

/// An operator, the gateway `victim` and its neighbour, both programmed.
pub(crate) async fn town(context: &Context, victim: &str) -> Operator {
    let operator = Operator::start(context).await;
    let both = format!("{}---{}", gateway(victim), gateway(NEIGHBOUR));
    context.kubectl().apply(&both).await.expect("applied");
    for name in [victim, NEIGHBOUR] {
        context.reports::<ClawGateway>(name, PROGRAMMED).await;
        context.reports::<ModelRoute>(name, PROGRAMMED).await;
    }
    operator
}

/// The operator lives, never panicked, and still brings the neighbour up to date.
pub(crate) async fn is_unharmed(context: &Context, operator: &Operator) {
    let pattern = format!("^/after/{}", operator.reconciles().await);
    let routes = json!({"spec": {"routes": [{"pattern": pattern, "model": "big"}]}});
    context.edit::<ModelRoute>(NEIGHBOUR, &routes).await;
    context
        .eventually("the neighbour's edit is rendered", async || {
            let config = config(context, NEIGHBOUR).await?;
            config.to_string().contains(&pattern).then_some(())
        })
        .await;
    context.reports::<ModelRoute>(NEIGHBOUR, PROGRAMMED).await;
    assert!(operator.is_ready().await);
    let log = operator.log();
    assert!(!log.contains("panicked"), "{log}");
}
