//! What a user does first: install with Helm, apply `examples/`, and ask with the official client from a pod.

use std::path::Path;

use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::api::core::v1::Pod;

use crate::{
    gateway,
    images::{CLIENT_VARIABLE, image},
    platform,
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![the_examples_serve_the_official_client_in_the_cluster];
    cases.into_iter().map(Case::alone).collect()
}

/// The key in `examples/secrets.yaml`.
const EXAMPLE_KEY: &str = "demo-key-replace-me-before-use";

async fn the_examples_serve_the_official_client_in_the_cluster(context: Context) {
    platform::install(&context).await;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let applied = context.kubectl().apply_path(&examples).await;
    applied.expect("applied");
    gateway::wait_until_ready(&context, "support").await;
    let client = client(&context.namespace);
    context.kubectl().apply(&client).await.expect("applied");
    let phase = context
        .within(
            std::time::Duration::from_mins(4),
            "the client ends",
            async || {
                let pod = context.find::<Pod>("client").await?;
                let phase = pod.status?.phase?;
                ["Succeeded", "Failed"]
                    .contains(&phase.as_str())
                    .then_some(phase)
            },
        )
        .await;
    let log = context.run(["logs", "client"]).await;
    assert_eq!(phase, "Succeeded", "{log}");
    assert!(log.contains("the stream says the same"), "{log}");
}

/// The script that `cargo xtask test clients` runs, too, against the Service's name with the issued authority.
fn client(namespace: &str) -> String {
    let image = image(CLIENT_VARIABLE).name;
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  restartPolicy: Never
  containers:
  - name: client
    image: {image}
    args: [/client/openai_client.py]
    env:
    - {{name: OPENAI_BASE_URL, value: 'https://support.{namespace}.svc:18789/v1'}}
    - {{name: OPENAI_API_KEY, value: {EXAMPLE_KEY}}}
    - {{name: SSL_CERT_FILE, value: /authority/ca.crt}}
    volumeMounts: [{{name: authority, mountPath: /authority}}]
  volumes:
  - name: authority
    secret: {{secretName: support-tls, items: [{{key: ca.crt, path: ca.crt}}]}}
"
    )
}
