//! Providers in the cluster: a script in a pod of its own, behind a Service of its name.

use claw_e2e::testing::Context;

use crate::images::{CLIENT_VARIABLE, image};

/// Start the script on port 8080, and wait until it listens.
pub(crate) async fn start(context: &Context, name: &str, script: &str) {
    let applied = context.kubectl().apply(&objects(name, script)).await;
    applied.expect("applied");
    let pod = format!("pod/{name}");
    let wait = ["wait", "--for=condition=Ready", "--timeout=120s", &pod];
    context.run(wait).await;
}

fn objects(name: &str, script: &str) -> String {
    let python = image(CLIENT_VARIABLE).name;
    let script = script.trim_end().replace('\n', "\n    ");
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data:
  provider.py: |
    {script}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: provider
    image: {python}
    args: [/provider/provider.py]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: script, mountPath: /provider}}]
  volumes: [{{name: script, configMap: {{name: {name}}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 8080}}]}}
"
    )
}
