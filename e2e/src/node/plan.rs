//! What a node is made of, the same before and after a reboot: certificates, kubeconfigs and settings.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{Error, NODE_NAME, TOOLS, file_error, network, settings};
use crate::{
    control_plane::{
        self, Audit, CertificateFiles, Certificates, Pair, Ports, Subject, write_private,
    },
    tools::{self, Tool},
};

pub(super) const PORTS: Ports = Ports {
    etcd_client: 2379,
    etcd_peer: 2380,
    api_server: 6443,
    controllers: 10257,
};
pub(super) const FRONT_PROXY: &str = "front-proxy-client";

/// Programs that are not Linux packages.
#[derive(Debug)]
pub(super) struct NodeTools {
    pub(super) etcd: PathBuf,
    pub(super) api_server: PathBuf,
    pub(super) controller_manager: PathBuf,
    pub(super) scheduler: PathBuf,
    pub(super) kubelet: PathBuf,
    pub(super) proxy: PathBuf,
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
    pub(super) certificates: CertificatesOf,
    pub(super) state: PathBuf,
}

/// Certificates and where they lie. Its `Debug` shows no key.
pub(super) struct CertificatesOf {
    all: Certificates,
    pub(super) files: CertificateFiles,
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
}

const fn client<'a>(name: &'a str, group: Option<&'a str>) -> Subject<'a> {
    Subject {
        name,
        group,
        hosts: &[],
    }
}
