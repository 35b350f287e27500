//! Files applied again and again, by people and by GitOps engines: nothing differs, and nobody fights.

use std::path::{Path, PathBuf};

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    helm::{objects, repository},
    operator::{Operator, audited},
    operator_children::example_folders,
    operator_writes::quiet,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        examples_applied_twice_by_the_client_differ_in_nothing,
        examples_applied_twice_by_the_server_differ_in_nothing,
        the_operator_writes_statuses_and_never_a_spec,
        another_field_manager_and_the_operator_leave_each_other_alone,
    ];
    let alone = cases![the_one_file_and_the_base_install_and_differ_in_nothing];
    // It installs for the whole cluster.
    cases.extend(alone.into_iter().map(Case::alone));
    cases
}

const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");

/// `kubectl diff` fails where anything differs. It looks at an object twice, and sees a difference, too, where the operator
/// writes a status between these.
async fn differs_in_nothing<const N: usize>(context: &Context, arguments: [&str; N]) {
    let diff = [&["diff"], &arguments[..]].concat();
    context
        .eventually("nothing differs", async || {
            let shown = context.kubectl().run(&diff).await.ok()?;
            shown.stdout.is_empty().then_some(())
        })
        .await;
}

/// Wait until everything in a folder is programmed.
async fn is_programmed(context: &Context, folder: &Path) {
    let files = std::fs::read_dir(folder).expect("readable");
    let files = files.map(|entry| entry.expect("readable").path());
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yaml");
    for file in files.filter(is_yaml) {
        let yaml = std::fs::read_to_string(&file).expect("readable");
        for object in objects(&yaml) {
            let name = object["metadata"]["name"].as_str().expect("named");
            match object["kind"].as_str() {
                Some("ClawGateway") => context.reports::<ClawGateway>(name, PROGRAMMED).await,
                Some("ModelRoute") => context.reports::<ModelRoute>(name, PROGRAMMED).await,
                Some("Channel") => context.reports::<Channel>(name, PROGRAMMED).await,
                _ => continue,
            };
        }
    }
}

/// What `kubectl apply --filename` takes, which does not look into folders of a folder.
fn examples() -> Vec<(String, PathBuf)> {
    let folders = example_folders();
    assert!(folders.len() > 3, "{folders:?}");
    let named = |folder: PathBuf| (folder.to_str().expect("UTF-8").to_owned(), folder);
    folders.into_iter().map(named).collect()
}

async fn examples_applied_twice_by_the_client_differ_in_nothing(context: Context) {
    let _operator = Operator::start(&context).await;
    for (files, folder) in examples() {
        context.run(["apply", "--filename", &files]).await;
        is_programmed(&context, &folder).await;
        differs_in_nothing(&context, ["--filename", &files]).await;
    }
    // kubectl sends Secrets with stringData again: nothing comes of it.
    let version = [
        "get",
        "clawgateways,modelroutes,channels,secrets",
        "--output=jsonpath={.items[*].metadata.resourceVersion}",
    ];
    let before = context.run(version).await;
    for (files, _) in examples() {
        context.run(["apply", "--filename", &files]).await;
    }
    assert_eq!(context.run(version).await, before);
}

async fn examples_applied_twice_by_the_server_differ_in_nothing(context: Context) {
    let _operator = Operator::start(&context).await;
    for (files, folder) in examples() {
        let apply = ["apply", "--server-side", "--filename", &files];
        context.run(apply).await;
        is_programmed(&context, &folder).await;
        differs_in_nothing(&context, ["--server-side", "--filename", &files]).await;
        // Without --force-conflicts: the operator has taken over no field.
        context.run(apply).await;
    }
    let api = context.api::<ClawGateway>();
    let gateways = api.list(&ListParams::default()).await;
    for gateway in gateways.expect("listed") {
        let name = gateway.name_any();
        assert_eq!(gateway.metadata.generation, Some(1), "{name}");
    }
}

async fn the_operator_writes_statuses_and_never_a_spec(context: Context) {
    let operator = Operator::start(&context).await;
    let applied = context.kubectl().apply(&idle_shop()).await;
    applied.expect("applied");
    for change in [
        json!({"spec": {"replicas": 1}}),
        json!({"spec": {"replicas": null, "autoscaling": {"maxReplicas": 3}}}),
        json!({"spec": {"size": "Large"}}),
        json!({"spec": {"models": [{"name": "only", "remote": {"provider": "OpenAI", "baseURL": "https://x.invalid"}}]}}),
    ] {
        context.edit::<ClawGateway>(GATEWAY, &change).await;
        context.reports::<ClawGateway>(GATEWAY, PROGRAMMED).await;
    }
    let missing = ("ResolvedRefs", "False", "ModelNotFound");
    context.reports::<ModelRoute>("pages", missing).await;
    // Creation and four edits: nobody else has changed the spec.
    let gateway = context.find::<ClawGateway>(GATEWAY).await.expect("there");
    assert_eq!(gateway.metadata.generation, Some(5));
    for entry in gateway.managed_fields() {
        if entry.manager.as_deref() == Some("claw-operator") {
            assert_eq!(entry.subresource.as_deref(), Some("status"));
        }
    }
    let Some(writes) = audited(&context) else {
        return;
    };
    let own = ["clawgateways", "modelroutes", "channels"];
    let is_own = |resource: &str| own.contains(&resource.split('/').next().unwrap_or_default());
    let own: Vec<_> = writes
        .iter()
        .filter(|write| is_own(&write.resource))
        .collect();
    assert!(!own.is_empty());
    for write in own {
        assert!(write.resource.ends_with("/status"), "{write:?}");
    }
    operator.terminate().await;
}

async fn another_field_manager_and_the_operator_leave_each_other_alone(context: Context) {
    let operator = Operator::start(&context).await;
    let engine = [
        "apply",
        "--server-side",
        "--field-manager=argocd-controller",
        "--filename=-",
    ];
    let sync = async || {
        let synced = context.kubectl().run_with_input(engine, &idle_shop()).await;
        synced.expect("synced without a conflict");
    };
    sync().await;
    context.reports::<ClawGateway>(GATEWAY, PROGRAMMED).await;
    context.reports::<ModelRoute>("pages", PROGRAMMED).await;
    context.reports::<Channel>("web", PROGRAMMED).await;
    context.reports::<Channel>("bot", PROGRAMMED).await;
    context
        .becomes::<ClawGateway>(GATEWAY, &json!({"status": {"replicas": 2}}))
        .await;
    // Somebody else's field on a child of ours is nobody's drift.
    let foreign = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {GATEWAY}, \
         annotations: {{example.com/scanned: today}}}}}}"
    );
    let scanner = [
        "apply",
        "--server-side",
        "--field-manager=scanner",
        "--filename=-",
    ];
    let answer = context.kubectl().run_with_input(scanner, &foreign).await;
    answer.expect("applied without a conflict");
    quiet(&context, &operator).await;
    let (written, recorded) = (operator.writes().await, audited(&context));
    let version = async || {
        let gateway = context.find::<ClawGateway>(GATEWAY).await.expect("there");
        gateway.resource_version().expect("stored")
    };
    let before = version().await;
    for _ in 0..5 {
        sync().await;
    }
    quiet(&context, &operator).await;
    assert_eq!(version().await, before);
    assert_eq!(operator.writes().await, written);
    assert_eq!(audited(&context), recorded);
    let deployment = context.find::<Deployment>(GATEWAY).await.expect("there");
    assert_eq!(deployment.annotations()["example.com/scanned"], "today");
}

async fn the_one_file_and_the_base_install_and_differ_in_nothing(context: Context) {
    let deploy = repository().join("deploy");
    let directory = deploy.to_str().expect("UTF-8");
    let file = format!("{directory}/install.yaml");
    // As the file names namespaces of its own, so must kubectl name none.
    let everywhere = Context {
        namespace: "claw-system".to_owned(),
        ..context.clone()
    };
    let base = everywhere.run(["kustomize", directory]).await;
    assert!(base.contains("kind: Deployment"), "{base}");

    everywhere.run(["apply", "--filename", &file]).await;
    differs_in_nothing(&everywhere, ["--filename", &file]).await;
    let dry_run = ["apply", "--dry-run=server", "--kustomize", directory];
    let again = everywhere.run(dry_run).await;
    assert_eq!(again.lines().count(), objects(&base).len(), "{again}");
    differs_in_nothing(&everywhere, ["--kustomize", directory]).await;
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--kustomize",
        directory,
    ];
    everywhere.run(apply).await;
    differs_in_nothing(&everywhere, ["--server-side", "--kustomize", directory]).await;

    let of_file = "app.kubernetes.io/name=claw-operator";
    let cluster_wide = [
        "delete",
        "clusterroles,clusterrolebindings",
        "--selector",
        of_file,
    ];
    everywhere.run(cluster_wide).await;
    // Until it is gone: its name is not the test's own.
    everywhere.run(["delete", "namespace", "claw-system"]).await;
}
