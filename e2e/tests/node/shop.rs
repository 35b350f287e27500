//! A gateway of two small pods in front of a provider in the same cluster, which answers with the model's name.

use claw_e2e::testing::Context;

use crate::{
    gateway::Gateway,
    images::{CLIENT_VARIABLE, image},
    platform,
};

pub(crate) const GATEWAY: &str = "helpdesk";
pub(crate) const ROUTE: &str = "pages";
pub(crate) const API_KEY: &str = "key-of-the-web-shop-0123456789";

const PROVIDER: &str = include_str!("provider.py");

/// Apply it, and wait until it serves.
pub(crate) async fn open(context: &Context) -> Gateway {
    platform::install(context).await;
    context
        .kubectl()
        .apply(&objects(context))
        .await
        .expect("applied");
    let wait = [
        "wait",
        "--for=condition=Ready",
        "--timeout=120s",
        "pod/provider",
    ];
    context.run(wait).await;
    Gateway::ready(context, GATEWAY).await
}

fn objects(context: &Context) -> String {
    let namespace = &context.namespace;
    let provider = image(CLIENT_VARIABLE).name;
    let script = PROVIDER.trim_end().replace('\n', "\n    ");
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
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: provider}}
data:
  provider.py: |
    {script}
---
apiVersion: v1
kind: Pod
metadata: {{name: provider, labels: {{app: provider}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: provider
    image: {provider}
    args: [/provider/provider.py]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: script, mountPath: /provider}}]
  volumes: [{{name: script, configMap: {{name: provider}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: provider}}
spec: {{selector: {{app: provider}}, ports: [{{port: 8080}}]}}
"
    )
}
