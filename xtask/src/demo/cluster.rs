//! `cargo xtask demo --cluster`: a real API server, the operator, and a gateway that serves what it rendered.
//!
//! There is no node, so no pod runs; the gateway is a process that holds the token of the ServiceAccount which the
//! operator made, and so the pod's own permissions.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use claw_e2e::{
    ControlPlane, Tools,
    process::{ChildProcess, Program},
    service_account::{self, ServiceAccountRef},
    wait::until,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{Gateway, build, converse, gateway_process::Trust, imported_models, step, what_next};
use crate::{command, fetch, repository};

const NAMESPACE: &str = "default";
const GATEWAY: &str = "support";
const DEADLINE: Duration = Duration::from_mins(1);

pub(super) fn run(once: bool, port: u16) -> anyhow::Result<()> {
    step(
        1,
        "fetch ONNX Runtime and a small real model; build the control plane where it is missing",
    );
    fetch::all()?;
    let tools = Tools::find_or_build(&mut |line| println!("  {line}"))?;
    step(
        2,
        "build clawdbot and claw-operator (a few minutes the first time)",
    );
    build(&["clawdbot", "claw-operator"])?;
    let models = imported_models()?;

    step(3, "start an API server, run the operator, apply examples/");
    let directory = repository::root().join(".demo/cluster");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let (control_plane, _operator) = super::block_on(prepare(&tools, &directory))?;
    println!("  KUBECONFIG={}", control_plane.kubeconfig().display());

    let account = directory.join("gateway.kubeconfig");
    let source = [
        "--config-secret",
        "support-config",
        "--namespace",
        NAMESPACE,
        "--models-dir",
    ];
    let source = source
        .into_iter()
        .map(Into::into)
        .chain([models.into_os_string()])
        .collect();
    let gateway = Gateway::start_with(
        source,
        &[("KUBECONFIG", account)],
        port,
        Trust {
            host: "support.default.svc",
            ca: directory.join("ca.crt"),
        },
    )?;
    println!(
        "  serving {} with the configuration and certificate from the cluster",
        gateway.url()
    );
    converse(&gateway)?;

    step(6, "kubectl get cgw,mr,ch");
    let shown = super::block_on(async {
        Ok(control_plane
            .kubectl()
            .run(["get", "cgw,mr,ch"])
            .await?
            .stdout)
    })?;
    println!("{shown}\n(Ready is False since this cluster has no node to run pods on.)");
    if once {
        return Ok(());
    }
    what_next(&gateway);
    gateway.serve_until_interrupted()
}

async fn prepare(tools: &Tools, directory: &Path) -> anyhow::Result<(ControlPlane, ChildProcess)> {
    let control_plane =
        ControlPlane::start(tools, directory, &mut |line| println!("  {line}")).await?;
    let operator = Program::new(
        "claw-operator",
        command::binaries("debug")?.join("claw-operator"),
    )
    .args([
        "--gateway-image",
        "clawdbot:demo",
        "--gateway-cuda-image",
        "clawdbot:demo-cuda",
    ])
    .args([
        "--leader-election",
        "false",
        "--management-address",
        "127.0.0.1:0",
    ])
    .env("KUBECONFIG", control_plane.kubeconfig())
    .start(directory)?;
    let kubectl = control_plane.kubectl().in_namespace(NAMESPACE);
    let applied = kubectl
        .apply_path(&repository::root().join("examples"))
        .await?;
    for line in applied.stdout.lines() {
        println!("  {line}");
    }

    let client = control_plane.client().await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let entry = async |secret: String, key: &str| {
        let secret = secrets.get_opt(&secret).await.ok().flatten()?;
        secret.data?.remove(key).map(|bytes| bytes.0)
    };
    let rendered = until(DEADLINE, async || {
        entry(format!("{GATEWAY}-config"), "config.json").await
    })
    .await;
    if rendered.is_none() {
        bail!("the operator rendered nothing:\n{}", operator.log_tail(20));
    }
    let ca = entry(format!("{GATEWAY}-tls"), "ca.crt")
        .await
        .context("the operator issued no certificate")?;
    std::fs::write(directory.join("ca.crt"), ca)?;
    let account = ServiceAccountRef {
        namespace: NAMESPACE,
        name: GATEWAY,
    };
    service_account::write_kubeconfig(
        &client,
        account,
        control_plane.kubeconfig(),
        &directory.join("gateway.kubeconfig"),
    )
    .await?;
    Ok((control_plane, operator))
}
