//! The scenario: objects first, then the operator, then silence, then one edit.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use claw_crds::{Channel, ClawGateway, ModelRoute, condition::HasConditions};
use claw_e2e::{ChildProcess, Cluster, control_plane::Pace, wait::until};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{
    Api, Client, Resource,
    api::{ListParams, Patch, PatchParams},
    core::object::HasStatus,
};
use libtest_mimic::Failed;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{figures::Figures, measure, objects, operator, writes};

/// How long anything may take, where the time itself proves nothing.
pub(crate) const DEADLINE: Duration = Duration::from_mins(30);
/// Edits that are measured.
const EDITS: usize = 20;

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

/// Play it.
pub(crate) async fn run(
    cluster: &mut Cluster,
    plan: &Plan,
    tell: &mut dyn FnMut(&str),
) -> Result<Figures, Failed> {
    let client = cluster.client().await?;
    tell(&format!("creating {} gateways", plan.gateways));
    objects::create(&client, plan.gateways).await?;
    // As in any cluster. What they do with thousands of new Deployments is not what is measured here.
    cluster.restart_controllers(Pace::Shipped).await?;
    tell("starting the operator");
    let (started, machine) = (Instant::now(), measure::machine_time());
    let operator = operator::start(cluster, &client, &plan.operator).await?;
    all_programmed(&client, plan.gateways, &operator).await?;
    let reconciled = started.elapsed();
    let machine_cpu = measure::machine_time().zip(machine);
    let (machine_now, machine_before) = machine_cpu.ok_or("/proc/stat tells nothing")?;
    let operator_cpu = measure::cpu_time(operator.id()).ok_or("the operator ended")?;
    tell(&format!("reconciled in {:.1} s", reconciled.as_secs_f64()));
    let writes = writes::own(cluster)?.len();
    tell("waiting until the controllers of Kubernetes have caught up");
    cluster.restart_controllers(Pace::Hurried).await?;
    writes::settle(cluster).await?;
    let all_writes = writes::own(cluster)?.len();

    tell(&format!("listening for {} s", plan.quiet.as_secs()));
    let requests = writes::counted(&client).await?;
    let cpu = measure::cpu_time(operator.id()).ok_or("the operator ended")?;
    tokio::time::sleep(plan.quiet).await;
    let quiet_cpu = measure::cpu_time(operator.id())
        .ok_or("the operator ended")?
        .saturating_sub(cpu);
    let quiet_requests = writes::counted(&client).await? - requests;
    let quiet_writes = writes::own(cluster)?.split_off(all_writes);
    let memory = |which| measure::memory(operator.id(), which).ok_or("the operator ended");
    let figures = Figures {
        gateways: plan.gateways,
        reconciled,
        operator_cpu,
        machine_cpu: machine_now.saturating_sub(machine_before),
        writes,
        all_writes,
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

async fn all_programmed(
    client: &Client,
    gateways: usize,
    operator: &ChildProcess,
) -> Result<(), Failed> {
    // The last one first: listing thousands of objects is work for the API server, which has better things to do.
    let last = Api::<Channel>::namespaced(client.clone(), &objects::namespace(gateways - 1));
    let name = objects::name(gateways - 1);
    let last = until(DEADLINE, async || {
        tokio::time::sleep(Duration::from_millis(250)).await;
        is_programmed(&last.get(&name).await.ok()?).then_some(())
    });
    last.await.ok_or_else(|| too_late(operator))?;
    let all = until(DEADLINE, async || {
        let counts = [
            programmed::<ClawGateway>(client).await.ok()?,
            programmed::<ModelRoute>(client).await.ok()?,
            programmed::<Channel>(client).await.ok()?,
        ];
        if counts == [gateways; 3] {
            return Some(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        None
    });
    all.await.ok_or_else(|| too_late(operator))
}

fn too_late(operator: &ChildProcess) -> Failed {
    let log = operator.log_tail(20);
    format!("not all programmed within {DEADLINE:?}\n{log}").into()
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
    Ok(objects
        .items
        .iter()
        .filter(|object| is_programmed(*object))
        .count())
}

fn is_programmed<K>(object: &K) -> bool
where
    K: Resource + HasStatus<Status: HasConditions>,
{
    let conditions = object.status().map_or(&[][..], HasConditions::conditions);
    conditions.iter().any(|condition| {
        condition.type_ == "Programmed"
            && condition.status == "True"
            && condition.observed_generation == object.meta().generation
    })
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
