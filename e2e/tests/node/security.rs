//! What the pods may and may not do, as the node enforces it.

use std::fs;

use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{
    platform::{NAMESPACE, RELEASE},
    processes::pods,
    shop::{self, GATEWAY},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![pods_run_without_root_on_a_read_only_file_system_and_pass_their_probes]
}

async fn pods_run_without_root_on_a_read_only_file_system_and_pass_their_probes(context: Context) {
    let _gateway = shop::open(&context).await;
    let instance = |name: &str| format!("app.kubernetes.io/instance={name}");
    let operators = pods(&context, NAMESPACE, &instance(RELEASE)).await;
    let gateways = pods(&context, &context.namespace, &instance(GATEWAY)).await;
    assert_eq!([operators.len(), gateways.len()], [2, 2]);
    for pod in operators.iter().chain(&gateways) {
        started_and_ready(pod);
        confined(pod);
    }
}

fn started_and_ready(pod: &Pod) {
    let name = pod.name_any();
    let spec = pod.spec.as_ref().expect("a pod has a spec");
    for container in &spec.containers {
        assert!(container.liveness_probe.is_some(), "{name}");
        assert!(container.readiness_probe.is_some(), "{name}");
    }
    let status = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    for container in status.expect("the kubelet reports") {
        assert!(
            container.ready && container.started == Some(true),
            "{name}: {container:?}"
        );
        assert_eq!(container.restart_count, 0, "{name}: a probe killed it");
    }
}

/// What the kernel says of its processes: no user of theirs is root, no capability is left, the root cannot be written.
fn confined(pod: &Pod) {
    let uid = pod.uid().expect("a stored pod has one");
    let mut seen = 0;
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let is_ours = read("cgroup").contains(&format!("pod{uid}"));
        if !is_ours || !["claw-operator", "clawdbot"].contains(&read("comm").trim()) {
            continue;
        }
        seen += 1;
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
        };
        assert_eq!(field("Uid:"), ["65532"; 4], "{status}");
        assert_eq!(field("CapEff:"), ["0000000000000000"], "{status}");
        assert_eq!(field("NoNewPrivs:"), ["1"], "{status}");
        assert_eq!(field("Seccomp:"), ["2"], "{status}");
        let mounts = read("mounts");
        let root = mounts
            .lines()
            .find(|line| line.split(' ').nth(1) == Some("/"));
        let options = root
            .and_then(|line| line.split(' ').nth(3))
            .unwrap_or_default();
        assert!(options.split(',').any(|option| option == "ro"), "{mounts}");
    }
    assert!(seen > 0, "{} has no process", pod.name_any());
}
