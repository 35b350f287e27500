//! The configuration files of containerd, its network plugins and the kubelet. Pure text.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    control_groups,
    image::PAUSE,
    network::{DNS, PODS},
};
use crate::control_plane::CertificateFiles;

/// Where containerd listens; the default of `ctr`.
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// Where Debian's package has them.
pub(super) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// containerd's own defaults for everything that is not said: below /var/lib and /run, which are the node's own.
pub(super) fn containerd(network_plugins: &Path) -> String {
    let plugins = network_plugins.display();
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # A container of ours may lack the capability that lowers a score.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{plugins}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#
    )
}

/// Point-to-point links: all traffic between pods is routed, so Services work without bridge filtering in the kernel.
pub(super) fn pod_network() -> Value {
    let ranges = json!([[{"subnet": PODS}]]);
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// JSON is YAML.
pub(super) fn kubelet(files: &CertificateFiles, serving: [&Path; 2], resolver: &Path) -> Value {
    let [certificate, key] = serving;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": files.authority},
        },
        "authorization": {"mode": "Webhook"},
        // Works with both versions of control groups.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", control_groups::NAME),
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": resolver,
        "failSwapOn": false,
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        // The disk is this machine's: what else lies on it is not the node's business.
        "evictionHard": {
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "memory.available": "50Mi",
        },
        "imageGCHighThresholdPercent": 100,
        // Tests crash containers on purpose, and do not wait minutes for each restart.
        "featureGates": {"KubeletCrashLoopBackOffMax": true},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
    })
}

/// Nobody answers there: a name outside of the cluster is unknown at once.
pub(super) fn resolver() -> String {
    format!("nameserver {DNS}\n")
}
