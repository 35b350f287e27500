//! A gateway of two small pods in front of a provider in the same cluster, which answers with the model's name.

use claw_e2e::testing::Context;

use crate::{gateway::Gateway, platform, provider};

pub(crate) const GATEWAY: &str = "helpdesk";
pub(crate) const ROUTE: &str = "pages";
pub(crate) const API_KEY: &str = "key-of-the-web-shop-0123456789";

const PROVIDER: &str = include_str!("provider.py");

/// Apply it, and wait until it serves.
pub(crate) async fn open(context: &Context) -> Gateway {
    platform::install(context).await;
    let applied = context.kubectl().apply(&objects(context)).await;
    applied.expect("applied");
    provider::start(context, "provider", PROVIDER).await;
    Gateway::ready(context, GATEWAY).await
}

fn objects(context: &Context) -> String {
    let namespace = &context.namespace;
    format!(
        "
apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {{name: {GATEWAY}}}
spec:
  replicas: 2
  resources: {{cpu: 100m, memory: 256Mi}}
  models:
  - {{name: big, remote: {{provider: OpenAI, baseURL: 'http://provider.{namespace}.svc:8080/v1'}}}}
  - {{name: bigger, remote: {{provider: OpenAI, baseURL: 'http://provider.{namespace}.svc:8080/v1'}}}}
  auth: {{apiKeys: {{selector: {{matchLabels: {{shop/keys: {GATEWAY}}}}}}}}}
  limits: {{requestsPerSecond: 100000}}
  outbound: {{allowedHosts: [provider.{namespace}.svc, slow.{namespace}.svc]}}
---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {ROUTE}}}
spec:
  gatewayRef: {{name: {GATEWAY}}}
  routes: [{{pattern: ^/ask, model: big}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: keys, labels: {{shop/keys: {GATEWAY}}}}}
stringData: {{web: {API_KEY}}}
"
    )
}
