//! A small volume on the node, and a gateway that keeps its files there.

use std::path::Path;

use claw_e2e::testing::Context;
use serde_json::json;

use crate::{
    gateway::{self, Gateway, wait_until_ready},
    shop::{self, GATEWAY},
};

/// In the node's own /run, so that it goes with the node.
pub(crate) const VOLUME: &str = "/run/small-volume";
const SIZE: &str = "size=64m,mode=0777";

/// Whether a script succeeds on the node.
pub(crate) async fn shell(context: &Context, script: &str) -> bool {
    let outcome = context.node().run(Path::new("sh"), &["-c", script]).await;
    outcome.is_ok()
}

/// One replica with its files on a volume of 64 MiB.
pub(crate) async fn open(context: &Context) -> Gateway {
    let gateway = shop::open(context).await;
    let made = format!("mkdir -p {VOLUME} && mount -t tmpfs -o {SIZE} tmpfs {VOLUME}");
    assert!(shell(context, &made).await, "a volume is made");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": context.namespace},
        "spec": {
            "capacity": {"storage": "64Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "small",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": VOLUME, "type": "Directory"},
            "claimRef": {"namespace": context.namespace, "name": format!("{GATEWAY}-state")},
        },
    });
    let applied = context.kubectl().apply(&volume.to_string()).await;
    applied.expect("applied");
    let claim = json!({"storageClassName": "small", "whenDeleted": "Delete"});
    let storage = json!({"size": "64Mi", "persistentVolumeClaim": claim});
    let change = json!({"spec": {"replicas": 1, "storage": storage}});
    gateway::change(context, GATEWAY, &change).await;
    let rollout = format!("deployment/{GATEWAY}");
    context
        .run(["rollout", "status", "--timeout=180s", &rollout])
        .await;
    wait_until_ready(context, GATEWAY).await;
    gateway
}
