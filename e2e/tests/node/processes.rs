//! The processes of a pod, seen from this machine.

use std::{collections::BTreeMap, fs};

use claw_e2e::testing::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use rustix::process::{Pid, Signal, kill_process};

/// The pods of a label, by name.
pub(crate) async fn pods(context: &Context, namespace: &str, selector: &str) -> Vec<Pod> {
    let api = Api::<Pod>::namespaced(context.client.clone(), namespace);
    let listed = api.list(&ListParams::default().labels(selector)).await;
    let mut pods = listed.expect("listed").items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.sort_by_key(ResourceExt::name_any);
    pods
}

/// What tells whether pods were replaced or restarted: uids and restarts.
pub(crate) fn lives(pods: &[Pod]) -> BTreeMap<String, i32> {
    let restarts = |pod: &Pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        Some(statuses.iter().map(|status| status.restart_count).sum())
    };
    let life = |pod: &Pod| {
        let uid = pod.uid().expect("a stored pod has one");
        (uid, restarts(pod).expect("the kubelet reports"))
    };
    pods.iter().map(life).collect()
}

/// SIGKILL for a program in a pod; whether it was there.
pub(crate) fn kill(pod: &Pod, program: &str) -> bool {
    let uid = pod.uid().expect("a stored pod has one");
    let mut was_there = false;
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let path = entry.path();
        // Processes come and go while this looks.
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        if read("comm").trim() == program && read("cgroup").contains(&format!("pod{uid}")) {
            let id = entry.file_name().to_string_lossy().parse().ok();
            let killed = id
                .and_then(Pid::from_raw)
                .map(|id| kill_process(id, Signal::KILL));
            was_there |= killed.is_some_and(|outcome| outcome.is_ok());
        }
    }
    was_there
}
