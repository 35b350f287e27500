//! The command line of each component, before anything about namespaces.

use std::{ffi::OsString, path::Path};

use super::{
    Component, NODE_NAME, network,
    plan::{FRONT_PROXY, PORTS, Plan},
};
use crate::{
    control_plane::{Pace, flags},
    process::Program,
};

impl Plan {
    /// How a component is started.
    pub(super) fn program(&self, component: Component) -> Program {
        let (tools, files) = (&self.tools, &self.certificates.files);
        match component {
            Component::Etcd => flags::etcd(&tools.etcd, &self.state, files, PORTS),
            Component::ApiServer => {
                let program = flags::api_server(&tools.api_server, files, &self.audit, PORTS);
                program.args(self.api_server())
            }
            Component::ControllerManager => {
                let kubeconfig = self.etc.join("controller-manager.kubeconfig");
                let manager = &tools.controller_manager;
                let program = flags::controller_manager(manager, &kubeconfig, files, PORTS);
                flags::paced(program, Pace::Hurried).args(["--use-service-account-credentials"])
            }
            Component::Scheduler => Program::new("kube-scheduler", &tools.scheduler).args([
                self.kubeconfig_flag("scheduler"),
                flag("leader-elect", "false"),
                flag("bind-address", "127.0.0.1"),
            ]),
            Component::Containerd => Program::new("containerd", "containerd").args([
                "--config".into(),
                self.etc.join("containerd.toml").into_os_string(),
            ]),
            Component::Kubelet => Program::new("kubelet", &tools.kubelet).args([
                self.kubeconfig_flag("kubelet"),
                path_flag("config", &self.etc.join("kubelet.json")),
                flag("hostname-override", NODE_NAME),
                flag("node-ip", &network::NODE.to_string()),
            ]),
            Component::Proxy => Program::new("kube-proxy", &tools.proxy).args([
                self.kubeconfig_flag("proxy"),
                flag("hostname-override", NODE_NAME),
                flag("proxy-mode", "iptables"),
                flag("cluster-cidr", network::PODS),
                // The limit is the machine's, and may not be changed from a namespace.
                flag("conntrack-max-per-core", "0"),
            ]),
        }
    }

    /// What the API server is told beyond what every control plane is.
    fn api_server(&self) -> Vec<OsString> {
        let files = &self.certificates.files;
        vec![
            flag("bind-address", "0.0.0.0"),
            flag("advertise-address", &network::NODE.to_string()),
            flag("endpoint-reconciler-type", "master-count"),
            flag("service-cluster-ip-range", network::SERVICES),
            flag("authorization-mode", "Node,RBAC"),
            flag("enable-admission-plugins", "NodeRestriction"),
            flag("allow-privileged", "true"),
            flag("kubelet-preferred-address-types", "InternalIP"),
            path_flag("kubelet-certificate-authority", &files.authority),
            path_flag(
                "kubelet-client-certificate",
                &self.etc.join("inside-admin.crt"),
            ),
            path_flag("kubelet-client-key", &self.etc.join("inside-admin.key")),
            // For metrics-server, which serves an API of its own through this one.
            path_flag("requestheader-client-ca-file", &files.authority),
            flag("requestheader-allowed-names", FRONT_PROXY),
            flag("requestheader-username-headers", "X-Remote-User"),
            flag("requestheader-group-headers", "X-Remote-Group"),
            flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
            path_flag(
                "proxy-client-cert-file",
                &self.etc.join("front-proxy-client.crt"),
            ),
            path_flag(
                "proxy-client-key-file",
                &self.etc.join("front-proxy-client.key"),
            ),
        ]
    }

    fn kubeconfig_flag(&self, user: &str) -> OsString {
        path_flag("kubeconfig", &self.etc.join(format!("{user}.kubeconfig")))
    }
}

fn flag(name: &str, value: &str) -> OsString {
    format!("--{name}={value}").into()
}

fn path_flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}
