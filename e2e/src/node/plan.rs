//! What a node is made of: its files, and the command line of each component. The same before and after a reboot.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{Component, Error, NODE_NAME, TOOLS, file_error, network, settings};
use crate::{
    control_plane::{
        self, Audit, CertificateFiles, Certificates, Pair, Ports, Subject, flags, write_private,
    },
    process::Program,
    tools::{self, Tool},
};

const PORTS: Ports = Ports {
    etcd_client: 2379,
    etcd_peer: 2380,
    api_server: 6443,
    controllers: 10257,
};
const FRONT_PROXY: &str = "front-proxy-client";

/// Programs that are not Linux packages.
#[derive(Debug)]
pub(super) struct NodeTools {
    etcd: PathBuf,
    api_server: PathBuf,
    controller_manager: PathBuf,
    scheduler: PathBuf,
    kubelet: PathBuf,
    proxy: PathBuf,
    pub(super) kubectl: PathBuf,
}

impl NodeTools {
    pub(super) fn find_or_build(progress: &mut dyn FnMut(&str)) -> Result<Self, tools::Error> {
        let [
            etcd,
            api_server,
            controller_manager,
            scheduler,
            kubelet,
            proxy,
            kubectl,
            _,
            _,
        ] = Tool::find_or_build_all(TOOLS, progress)?;
        Ok(Self {
            etcd,
            api_server,
            controller_manager,
            scheduler,
            kubelet,
            proxy,
            kubectl,
        })
    }
}

/// Everything that outlives a reboot.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tools: NodeTools,
    /// Configuration, certificates and logs.
    pub(super) etc: PathBuf,
    /// Seen as /var/lib inside.
    pub(super) var_lib: PathBuf,
    /// Seen as /var/log inside.
    pub(super) var_log: PathBuf,
    /// For the tests.
    pub(super) files: PathBuf,
    /// The administrator's, for use outside.
    pub(super) kubeconfig: PathBuf,
    pub(super) audit: Audit,
    certificates: CertificatesOf,
    state: PathBuf,
}

/// Certificates and where they lie. Its `Debug` shows no key.
struct CertificatesOf {
    all: Certificates,
    files: CertificateFiles,
}

impl std::fmt::Debug for CertificatesOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificates").field(&self.files).finish()
    }
}

impl Plan {
    /// Issue certificates and write all files below `state`.
    pub(super) fn make(tools: NodeTools, state: &Path) -> Result<Self, Error> {
        let directory = |name: &str| {
            let path = state.join(name);
            fs::create_dir(&path)
                .map_err(file_error(&path))
                .map(|()| path)
        };
        let etc = directory("etc")?;
        let address = network::NODE.to_string();
        let names = ["kubernetes", "kubernetes.default"];
        let hosts = [&control_plane::LOOPBACK[..], &names];
        let addresses = [network::API_SERVER, &address];
        let hosts: Vec<&str> = hosts.concat().into_iter().chain(addresses).collect();
        let all = Certificates::issue(&hosts)
            .map_err(control_plane::Error::Certificates)
            .map_err(Error::ControlPlane)?;
        let files = all.write(&etc).map_err(Error::ControlPlane)?;
        let plan = Self {
            tools,
            var_lib: directory("var-lib")?,
            var_log: directory("var-log")?,
            files: directory("files")?,
            kubeconfig: etc.join("admin.kubeconfig"),
            audit: Audit::prepare(&etc).map_err(Error::ControlPlane)?,
            certificates: CertificatesOf { all, files },
            state: state.to_owned(),
            etc,
        };
        plan.write_identities()?;
        plan.write_settings()?;
        Ok(plan)
    }

    /// The API server's address inside.
    pub(super) fn api_server_inside() -> SocketAddr {
        SocketAddr::new(IpAddr::from([127, 0, 0, 1]), PORTS.api_server)
    }

    /// The administrator's kubeconfig, for the port that leads inside.
    pub(super) fn write_kubeconfig(&self, port: u16) -> Result<(), Error> {
        let ports = Ports {
            api_server: port,
            ..PORTS
        };
        let credentials = self.certificates.all.admin_credentials(ports);
        credentials
            .write(&self.kubeconfig)
            .map_err(Error::ControlPlane)
    }

    /// Kubeconfigs of the components, and the certificates that they serve or show.
    fn write_identities(&self) -> Result<(), Error> {
        let address = network::NODE.to_string();
        let node = format!("system:node:{NODE_NAME}");
        let manager = "system:kube-controller-manager";
        let users: [(&str, Subject<'_>); 5] = [
            ("controller-manager", client(manager, None)),
            ("scheduler", client("system:kube-scheduler", None)),
            ("proxy", client("system:kube-proxy", None)),
            (
                "inside-admin",
                client("inside-admin", Some("system:masters")),
            ),
            (
                "kubelet",
                Subject {
                    hosts: &[NODE_NAME, &address],
                    ..client(&node, Some("system:nodes"))
                },
            ),
        ];
        for (file, subject) in users {
            let pair = self.issue(subject)?;
            let credentials = self.certificates.all.credentials(&pair, PORTS);
            let path = self.etc.join(format!("{file}.kubeconfig"));
            credentials.write(&path).map_err(Error::ControlPlane)?;
            self.write_pair(file, &pair)?;
        }
        self.write_pair(FRONT_PROXY, &self.issue(client(FRONT_PROXY, None))?)
    }

    fn issue(&self, subject: Subject<'_>) -> Result<Pair, Error> {
        self.certificates
            .all
            .authority
            .issue(subject)
            .map_err(control_plane::Error::Certificates)
            .map_err(Error::ControlPlane)
    }

    fn write_pair(&self, name: &str, pair: &Pair) -> Result<(), Error> {
        for (kind, text) in [("crt", &pair.certificate), ("key", &pair.key)] {
            let path = self.etc.join(format!("{name}.{kind}"));
            write_private(&path, text).map_err(file_error(&path))?;
        }
        Ok(())
    }

    fn write_settings(&self) -> Result<(), Error> {
        let network_plugins = self.etc.join("cni");
        fs::create_dir(&network_plugins).map_err(file_error(&network_plugins))?;
        let resolver = self.etc.join("resolv.conf");
        let serving = [self.etc.join("kubelet.crt"), self.etc.join("kubelet.key")];
        let [certificate, key] = &serving;
        let kubelet = settings::kubelet(&self.certificates.files, [certificate, key], &resolver);
        let files = [
            (
                self.etc.join("containerd.toml"),
                settings::containerd(&network_plugins),
            ),
            (
                network_plugins.join("10-pods.conflist"),
                settings::pod_network().to_string(),
            ),
            (self.etc.join("kubelet.json"), kubelet.to_string()),
            (resolver, settings::resolver()),
        ];
        for (path, text) in files {
            fs::write(&path, text).map_err(file_error(&path))?;
        }
        Ok(())
    }

    /// How a component is started, before anything about namespaces.
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
                flags::controller_manager(manager, &kubeconfig, files, PORTS)
                    .args(["--use-service-account-credentials"])
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

const fn client<'a>(name: &'a str, group: Option<&'a str>) -> Subject<'a> {
    Subject {
        name,
        group,
        hosts: &[],
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
