//! The operator as a process, with the permissions of its own ServiceAccount and of nobody else.

use std::{path::PathBuf, time::Duration};

use claw_e2e::{
    ChildProcess, control_plane,
    process::Program,
    service_account::{self, ServiceAccountRef},
    wait::until,
};

use crate::{
    context::{Context, DEADLINE},
    permissions, programs,
};

/// The name of the operator's ServiceAccount.
pub(crate) const ACCOUNT: &str = "claw-operator";

/// A running operator that looks after the test's namespace alone.
pub(crate) struct Operator {
    process: ChildProcess,
    port: u16,
}

/// How an operator is started.
#[derive(Clone, Copy)]
pub(crate) struct Launch<'a> {
    /// Unlike that of any other operator of the test.
    pub(crate) name: &'a str,
    pub(crate) with_election: bool,
}

impl Operator {
    /// Start one without election, and wait until it reconciles.
    pub(crate) async fn start(context: &Context) -> Self {
        let launch = Launch {
            name: "operator",
            with_election: false,
        };
        let operator = Self::launch(context, launch).await;
        context
            .eventually("the operator reconciles", async || {
                operator.is_ready().await.then_some(())
            })
            .await;
        operator
    }

    /// Start one and wait until its management port is there.
    pub(crate) async fn launch(context: &Context, launch: Launch<'_>) -> Self {
        let Launch {
            name,
            with_election,
        } = launch;
        let namespace = &context.namespace;
        let directory = context.directory();
        let port_file = directory.join(format!("{name}.port"));
        let _ = std::fs::remove_file(&port_file);
        let arguments = [
            ("--namespace", namespace.as_str()),
            ("--gateway-image", "clawdbot:test"),
            ("--gateway-cuda-image", "clawdbot:test-cuda"),
            (
                "--leader-election",
                if with_election { "true" } else { "false" },
            ),
            ("--lease-namespace", namespace.as_str()),
            ("--management-address", "127.0.0.1:0"),
            ("--log-format", "text"),
        ];
        let process = Program::new(name, programs::path("claw-operator"))
            .args(
                arguments
                    .into_iter()
                    .flat_map(|(flag, value)| [flag, value]),
            )
            .args(["--port-file".as_ref(), port_file.as_os_str()])
            .env("KUBECONFIG", kubeconfig(context).await)
            .env("POD_NAME", name)
            .start(&directory)
            .expect("the operator starts");
        let port = until(DEADLINE, async || {
            std::fs::read_to_string(&port_file).ok()?.parse().ok()
        });
        let Some(port) = port.await else {
            unreachable!("no port file:\n{}", process.log_tail(20))
        };
        Self { process, port }
    }

    /// Whether it leads and has listed everything.
    pub(crate) async fn is_ready(&self) -> bool {
        self.metric("claw_operator_leader").await == Some(1) && self.get("readyz").await.is_some()
    }

    /// Whether it is up while somebody else leads.
    pub(crate) async fn is_standby(&self) -> bool {
        self.metric("claw_operator_leader").await == Some(0) && self.get("readyz").await.is_some()
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let answer = reqwest::get(url).await.ok()?.error_for_status().ok()?;
        answer.text().await.ok()
    }

    /// The sum of a metric's samples.
    async fn metric(&self, name: &str) -> Option<u64> {
        self.samples(name, "").await
    }

    /// The sum of a metric's samples with this text in their labels.
    async fn samples(&self, name: &str, label: &str) -> Option<u64> {
        let text = self.get("metrics").await?;
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']) && rest.contains(label))
        });
        let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Some(values.sum())
    }

    /// How many times it has reconciled anything.
    pub(crate) async fn reconciles(&self) -> u64 {
        let metric = self.metric("claw_operator_reconciles_total").await;
        metric.expect("the operator serves metrics")
    }

    /// How many writes it has sent, by its own count.
    pub(crate) async fn writes(&self) -> u64 {
        let metric = self.metric("claw_operator_api_writes_total").await;
        metric.expect("the operator serves metrics")
    }

    /// How many of them were to Leases.
    pub(crate) async fn lease_writes(&self) -> u64 {
        let metric = self.samples("claw_operator_api_writes_total", "resource=\"leases\"");
        metric.await.expect("the operator serves metrics")
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// As a crash.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("killed");
    }

    /// As a rollout.
    pub(crate) async fn terminate(mut self) {
        let ended = self.process.terminate(Duration::from_secs(30)).await;
        let status = ended.expect("it ends when asked to");
        assert!(status.success(), "{status}\n{}", self.process.log_tail(20));
    }
}

/// The operator's ServiceAccount, its permissions, and a kubeconfig with its token; made once a namespace.
async fn kubeconfig(context: &Context) -> PathBuf {
    let path = context.directory().join("operator.kubeconfig");
    if path.exists() {
        return path;
    }
    permissions::grant(context, ACCOUNT).await;
    let account = ServiceAccountRef {
        namespace: &context.namespace,
        name: ACCOUNT,
    };
    let admin = context.cluster.kubeconfig();
    let written = service_account::write_kubeconfig(&context.client, account, admin, &path).await;
    written.expect("a token for the operator");
    path
}

/// Writes of the operator in the test's namespace as the API server saw them, where it tells; Leases renew themselves.
pub(crate) fn audited(context: &Context) -> Option<Vec<control_plane::AuditedRequest>> {
    let user = format!("system:serviceaccount:{}:{ACCOUNT}", context.namespace);
    let writes = context.cluster.audit()?.writes();
    let own = writes.into_iter().filter(|write| write.user == user);
    Some(own.filter(|write| write.resource != "leases").collect())
}
