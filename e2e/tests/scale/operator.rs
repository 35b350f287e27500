//! The operator under test, as a user of its own, so that its writes can be told from ours.

use std::path::Path;

use claw_e2e::{
    ChildProcess, Cluster, process::Program, service_account, service_account::ServiceAccountRef,
};
use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{ClusterRoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use libtest_mimic::Failed;

const ACCOUNT: &str = "claw-operator";

/// The name under which the API server knows it.
pub(crate) fn user() -> String {
    format!("system:serviceaccount:default:{ACCOUNT}")
}

/// Start it for the whole cluster.
pub(crate) async fn start(
    cluster: &Cluster,
    client: &Client,
    program: &Path,
) -> Result<ChildProcess, Failed> {
    let metadata = ObjectMeta {
        name: Some(ACCOUNT.to_owned()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata: metadata.clone(),
        ..ServiceAccount::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    accounts.create(&PostParams::default(), &account).await?;
    let binding = ClusterRoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            // What it may do is another test's matter.
            name: "cluster-admin".to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: ACCOUNT.to_owned(),
            namespace: Some("default".to_owned()),
            ..Subject::default()
        }]),
    };
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.create(&PostParams::default(), &binding).await?;
    let kubeconfig = cluster.directory().join("operator.kubeconfig");
    let account = ServiceAccountRef {
        namespace: "default",
        name: ACCOUNT,
    };
    service_account::write_kubeconfig(client, account, cluster.kubeconfig(), &kubeconfig).await?;
    let operator = Program::new("operator", program)
        .args(["--gateway-image", "clawdbot:test"])
        .args(["--gateway-cuda-image", "clawdbot:test-cuda"])
        .args(["--lease-namespace", "default"])
        .args(["--management-address", "127.0.0.1:0"])
        .env("KUBECONFIG", kubeconfig)
        .start(cluster.directory())?;
    Ok(operator)
}
