//! The command line of each program.

use std::path::Path;

use super::{Audit, Ports, certificates::CertificateFiles};
use crate::process::Program;

/// Addresses of Services; nothing routes them here, they only have to be valid.
const SERVICE_RANGE: &str = "10.0.0.0/16";

/// What the tests and the demo rely on, and no more: each controller costs watches and start-up time.
const CONTROLLERS: [&str; 8] = [
    "deployment-controller",
    "replicaset-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
];

/// Collect garbage less often: a small machine has memory to spare, but no processors. With the default of Go, the API
/// server spends a quarter of its time on that. The limit makes it collect earlier where memory gets scarce.
fn spared(program: Program) -> Program {
    program.env("GOGC", "500").env("GOMEMLIMIT", "4GiB")
}

/// `--name=value` with a path.
fn file(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

pub(crate) fn etcd(
    program: &Path,
    directory: &Path,
    files: &CertificateFiles,
    ports: Ports,
) -> Program {
    let client = format!("https://127.0.0.1:{}", ports.etcd_client);
    let peer = format!("https://127.0.0.1:{}", ports.etcd_peer);
    spared(Program::new("etcd", program)).args([
        "--name=e2e".to_owned(),
        file("data-dir", &directory.join("etcd")),
        // The data is thrown away at the end: losing it in a power cut is no loss.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=e2e={peer}"),
        // Other users of the machine reach loopback ports, too.
        "--client-cert-auth".to_owned(),
        file("trusted-ca-file", &files.authority),
        file("cert-file", &files.server),
        file("key-file", &files.server_key),
        "--peer-client-cert-auth".to_owned(),
        file("peer-trusted-ca-file", &files.authority),
        file("peer-cert-file", &files.server),
        file("peer-key-file", &files.server_key),
        "--log-level=warn".to_owned(),
    ])
}

pub(crate) fn api_server(
    program: &Path,
    files: &CertificateFiles,
    audit: &Audit,
    ports: Ports,
) -> Program {
    spared(Program::new("kube-apiserver", program)).args([
        format!("--etcd-servers=https://127.0.0.1:{}", ports.etcd_client),
        file("etcd-cafile", &files.authority),
        file("etcd-certfile", &files.etcd_client),
        file("etcd-keyfile", &files.etcd_client_key),
        format!("--secure-port={}", ports.api_server),
        file("tls-cert-file", &files.server),
        file("tls-private-key-file", &files.server_key),
        file("client-ca-file", &files.authority),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file(
            "service-account-key-file",
            &files.service_account_public_key,
        ),
        file(
            "service-account-signing-key-file",
            &files.service_account_key,
        ),
        file("audit-policy-file", audit.policy()),
        file("audit-log-path", audit.log()),
        // In megabytes, room for thousands of gateways: what is rotated away is not counted.
        "--audit-log-maxsize=2000".to_owned(),
    ])
}

/// What is said only where there is no node: everything stays on loopback.
pub(super) fn api_server_on_loopback(api_server: Program) -> Program {
    api_server.args([
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // A loopback address may not be an endpoint of the `kubernetes` Service, and nobody needs it here.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--authorization-mode=RBAC".to_owned(),
    ])
}

/// The controllers that have work where there is no node.
pub(super) fn controllers_without_node(controller_manager: Program) -> Program {
    controller_manager.args([format!("--controllers={}", CONTROLLERS.join(","))])
}

/// How many requests the controllers of Kubernetes make at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As they are shipped: 20 a second.
    Shipped,
    /// So many that thousands of objects do not wait for them.
    Hurried,
}

impl Pace {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Shipped => &[],
            Self::Hurried => &["--kube-api-qps=1000", "--kube-api-burst=2000"],
        }
    }
}

/// Let the controllers of Kubernetes make so many requests.
pub(crate) fn paced(controller_manager: Program, pace: Pace) -> Program {
    controller_manager.args(pace.flags())
}

pub(crate) fn controller_manager(
    program: &Path,
    kubeconfig: &Path,
    files: &CertificateFiles,
    ports: Ports,
) -> Program {
    Program::new("kube-controller-manager", program).args([
        file("kubeconfig", kubeconfig),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.controllers),
        file("tls-cert-file", &files.server),
        file("tls-private-key-file", &files.server_key),
        "--leader-elect=false".to_owned(),
        file(
            "service-account-private-key-file",
            &files.service_account_key,
        ),
        file("root-ca-file", &files.authority),
    ])
}
