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
    let found = find(pod, program);
    found.into_iter().filter(|id| end(*id)).count() > 0
}

/// The processes of a program in a pod.
pub(crate) fn find(pod: &Pod, program: &str) -> Vec<Pid> {
    let uid = pod.uid().expect("a stored pod has one");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let path = entry.path();
        // Processes come and go while this looks.
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        if read("comm").trim() == program && read("cgroup").contains(&format!("pod{uid}")) {
            let id = entry.file_name().to_string_lossy().parse().ok();
            found.extend(id.and_then(Pid::from_raw));
        }
    }
    found
}

/// SIGKILL for a process; whether it was there.
pub(crate) fn end(process: Pid) -> bool {
    kill_process(process, Signal::KILL).is_ok()
}
