//! The scenario: objects first, then the operator, then silence, then one edit.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use claw_crds::{Channel, ClawGateway, ModelRoute, condition::HasConditions};
use claw_e2e::{
    ChildProcess, Cluster, process::Program, service_account, service_account::ServiceAccountRef,
    wait::until,
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Secret, ServiceAccount},
        rbac::v1::{ClusterRoleBinding, RoleRef, Subject},
    },
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    core::object::HasStatus,
};
use libtest_mimic::Failed;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{measure, objects};

/// The operator's resident memory with a thousand gateways, at most: 80 MiB.
const MOST_MEMORY: u64 = 80 * 1024 * 1024;
/// The number of gateways that this bound is meant for.
const MEMORY_GATEWAYS: usize = 1000;
/// How long anything may take, where the time itself proves nothing.
const DEADLINE: Duration = Duration::from_mins(30);
/// Without writes for so long, everything has settled: the controllers of Kubernetes have caught up, too.
const SETTLED: Duration = Duration::from_secs(5);
/// Edits that are measured.
const EDITS: usize = 20;
const ACCOUNT: &str = "claw-operator";

/// What is to be done.
pub(crate) struct Plan {
    operator: PathBuf,
    gateways: usize,
    quiet: Duration,
}

impl Plan {
    /// From `CLAW_SCALE_OPERATOR` (a program; without it nothing is run), `CLAW_SCALE_GATEWAYS` (1000 when absent) and
    /// `CLAW_SCALE_QUIET_SECONDS` (60 when absent).
    pub(crate) fn from_environment() -> Option<Self> {
        let number = |name, default| {
            std::env::var(name).map_or(default, |text| {
                text.parse().expect("CLAW_SCALE_* are whole numbers")
            })
        };
        Some(Self {
            operator: std::env::var_os("CLAW_SCALE_OPERATOR")?.into(),
            gateways: number("CLAW_SCALE_GATEWAYS", 1000),
            quiet: Duration::from_secs(
                number("CLAW_SCALE_QUIET_SECONDS", 60)
                    .try_into()
                    .expect("fits"),
            ),
        })
    }
}

/// What was seen.
pub(crate) struct Figures {
    gateways: usize,
    reconciled: Duration,
    writes: usize,
    quiet: Duration,
    quiet_writes: Vec<String>,
    quiet_requests: u64,
    quiet_cpu: Duration,
    memory: u64,
    highest_memory: u64,
    edits: Vec<Duration>,
}

impl fmt::Display for Figures {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let mut edits = self.edits.clone();
        edits.sort();
        write!(
            formatter,
            "{} gateways, each with a route and a channel: reconciled in {:.1} s with {} writes; then in {} s: {} \
             writes by the operator, {} by anybody as the API server counts (leases apart), {:.2} % of a CPU; resident \
             {:.1} MiB, at most {:.1} MiB; one route edit applied: p50 {:.0} ms, slowest of {} {:.0} ms",
            self.gateways,
            self.reconciled.as_secs_f64(),
            self.writes,
            self.quiet.as_secs(),
            self.quiet_writes.len(),
            self.quiet_requests,
            100.0 * self.quiet_cpu.as_secs_f64() / self.quiet.as_secs_f64(),
            mebibytes(self.memory),
            mebibytes(self.highest_memory),
            edits[edits.len() / 2].as_secs_f64() * 1000.0,
            edits.len(),
            edits[edits.len() - 1].as_secs_f64() * 1000.0,
        )
    }
}

impl Figures {
    /// What must hold on every machine.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        if let Some(write) = self.quiet_writes.first() {
            return Err(format!("the operator wrote while nothing happened, first {write}").into());
        }
        if self.gateways <= MEMORY_GATEWAYS && self.memory > MOST_MEMORY {
            return Err(format!(
                "the operator takes {} bytes, more than {MOST_MEMORY}",
                self.memory
            )
            .into());
        }
        Ok(())
    }
}

/// Play it.
pub(crate) async fn run(
    cluster: &Cluster,
    plan: &Plan,
    tell: &mut dyn FnMut(&str),
) -> Result<Figures, Failed> {
    let client = cluster.client().await?;
    tell(&format!("creating {} gateways", plan.gateways));
    objects::create(&client, plan.gateways).await?;
    tell("starting the operator");
    let started = Instant::now();
    let operator = start(cluster, &client, plan).await?;
    all_programmed(&client, plan.gateways, &operator).await?;
    let reconciled = started.elapsed();
    tell(&format!("reconciled in {:.1} s", reconciled.as_secs_f64()));
    settle(cluster).await?;
    let writes = own_writes(cluster)?.len();

    tell(&format!("listening for {} s", plan.quiet.as_secs()));
    let requests = write_requests(&client).await?;
    let cpu = measure::cpu_time(operator.id()).ok_or("the operator ended")?;
    tokio::time::sleep(plan.quiet).await;
    let quiet_cpu = measure::cpu_time(operator.id())
        .ok_or("the operator ended")?
        .saturating_sub(cpu);
    let quiet_requests = write_requests(&client).await? - requests;
    let quiet_writes = own_writes(cluster)?.split_off(writes);
    let memory = |which| measure::memory(operator.id(), which).ok_or("the operator ended");
    let figures = Figures {
        gateways: plan.gateways,
        reconciled,
        writes,
        quiet: plan.quiet,
        quiet_writes,
        quiet_requests,
        quiet_cpu,
        memory: memory("VmRSS")?,
        highest_memory: memory("VmHWM")?,
        edits: edits(&client, plan.gateways).await?,
    };
    Ok(figures)
}

/// The operator for the whole cluster, as a user of its own, so that its writes can be told from ours.
async fn start(cluster: &Cluster, client: &Client, plan: &Plan) -> Result<ChildProcess, Failed> {
    let metadata = ObjectMeta {
        name: Some(ACCOUNT.to_owned()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata: metadata.clone(),
        ..ServiceAccount::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    accounts.create(&PostParams::default(), &account).await?;
    let binding = ClusterRoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            // What it may do is another test's matter.
            name: "cluster-admin".to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: ACCOUNT.to_owned(),
            namespace: Some("default".to_owned()),
            ..Subject::default()
        }]),
    };
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.create(&PostParams::default(), &binding).await?;
    let kubeconfig = cluster.directory().join("operator.kubeconfig");
    let account = ServiceAccountRef {
        namespace: "default",
        name: ACCOUNT,
    };
    service_account::write_kubeconfig(client, account, cluster.kubeconfig(), &kubeconfig).await?;
    let operator = Program::new("operator", &plan.operator)
        .args(["--gateway-image", "clawdbot:test"])
        .args(["--gateway-cuda-image", "clawdbot:test-cuda"])
        .args(["--lease-namespace", "default"])
        .args(["--management-address", "127.0.0.1:0"])
        .env("KUBECONFIG", kubeconfig)
        .start(cluster.directory())?;
    Ok(operator)
}

async fn all_programmed(
    client: &Client,
    gateways: usize,
    operator: &ChildProcess,
) -> Result<(), Failed> {
    let all = until(DEADLINE, async || {
        let counts = [
            programmed::<ClawGateway>(client).await.ok()?,
            programmed::<ModelRoute>(client).await.ok()?,
            programmed::<Channel>(client).await.ok()?,
        ];
        if counts == [gateways; 3] {
            return Some(());
        }
        // Listing thousands of objects is work for the API server, which has better things to do now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        None
    });
    all.await.ok_or_else(|| {
        format!(
            "not all programmed within {DEADLINE:?}\n{}",
            operator.log_tail(20)
        )
        .into()
    })
}

/// How many objects of a kind are programmed in their latest generation.
async fn programmed<K>(client: &Client) -> Result<usize, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: HasConditions>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let objects = Api::<K>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let is_programmed = |object: &&K| {
        let conditions = object.status().map_or(&[][..], HasConditions::conditions);
        conditions.iter().any(|condition| {
            condition.type_ == "Programmed"
                && condition.status == "True"
                && condition.observed_generation == object.meta().generation
        })
    };
    Ok(objects.items.iter().filter(is_programmed).count())
}

/// Wait until nobody writes any more.
async fn settle(cluster: &Cluster) -> Result<(), Failed> {
    let (mut count, mut since) = (0, Instant::now());
    let settled = until(DEADLINE, async || {
        let now = cluster
            .audit()?
            .writes()
            .iter()
            .filter(|write| write.resource != "leases")
            .count();
        if now != count {
            (count, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        (since.elapsed() >= SETTLED).then_some(())
    });
    settled.await.ok_or_else(|| "somebody keeps writing".into())
}

/// What the operator has written, but for its Lease.
fn own_writes(cluster: &Cluster) -> Result<Vec<String>, Failed> {
    let audit = cluster
        .audit()
        .ok_or("this needs a control plane of its own")?;
    let user = format!("system:serviceaccount:default:{ACCOUNT}");
    let writes = audit.writes().into_iter();
    let own = writes.filter(|write| write.user == user && write.resource != "leases");
    Ok(own
        .map(|write| {
            format!(
                "{} {} {}/{}",
                write.verb, write.resource, write.namespace, write.name
            )
        })
        .collect())
}

/// How many writes the API server has counted, by anybody, but for Leases.
async fn write_requests(client: &Client) -> Result<u64, Failed> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let metrics = client.request_text(request).await?;
    let is_write = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && !line.contains("resource=\"leases\"")
            && [
                "POST",
                "PUT",
                "PATCH",
                "APPLY",
                "DELETE",
                "DELETECOLLECTION",
            ]
            .iter()
            .any(|verb| line.contains(&format!("verb=\"{verb}\"")))
    };
    let counts = metrics.lines().filter(is_write);
    Ok(counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum())
}

/// Edit one route after the other; how long until the gateway's configuration has it.
async fn edits(client: &Client, gateways: usize) -> Result<Vec<Duration>, Failed> {
    let mut times = Vec::new();
    for edit in 0..EDITS {
        let index = edit * gateways / EDITS;
        let (name, namespace) = (objects::name(index), objects::namespace(index));
        let routes = Api::<ModelRoute>::namespaced(client.clone(), &namespace);
        let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
        let pattern = format!("^/edited-{edit}");
        let patch = json!({"spec": {"routes": [{"pattern": pattern, "model": "big"}]}});
        let start = Instant::now();
        routes
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let applied = until(DEADLINE, async || {
            let secret = secrets.get(&format!("{name}-config")).await.ok()?;
            let data = secret.data?;
            data.values()
                .any(|value| String::from_utf8_lossy(&value.0).contains(&pattern))
                .then_some(())
        });
        applied.await.ok_or("an edit was never applied")?;
        times.push(start.elapsed());
    }
    Ok(times)
}
