//! What the charts tell whoever has installed them: the next step, and what is missing.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    context::{Case, Context, cases},
    helm::{Helm, chart, objects},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        the_notes_name_the_next_step,
        the_notes_warn_where_the_kinds_are_missing,
        the_notes_of_the_definitions_name_the_operators_chart,
    ]
}

async fn the_notes_name_the_next_step(context: Context) {
    let helm = Helm::of(&context);
    let chart = chart("claw-operator");
    let notes = async |values: Value| {
        let command = ["install", "first", &chart, "--dry-run=server"];
        let shown = helm.run(command, &values).await.expect("rendered");
        let (_, notes) = shown.split_once("NOTES:").expect("notes");
        notes.to_owned()
    };
    let namespace = &context.namespace;
    let of_all = notes(json!({})).await;
    let status =
        format!("kubectl --namespace {namespace} rollout status deployment/first-claw-operator");
    assert!(of_all.contains(&status), "{of_all}");
    assert!(of_all.contains("--all-namespaces"), "{of_all}");
    // The kinds are there.
    assert!(!of_all.contains("WARNING"), "{of_all}");
    let of_one = notes(json!({"namespaced": true})).await;
    let next = format!("kubectl --namespace {namespace} apply --filename examples/");
    assert!(of_one.contains(&next), "{of_one}");
}

/// Shows a chart's notes as an object: Helm renders for a cluster that it does not ask, but tells no notes then.
const SHOWN: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: shown}
data: {notes: {{ include (print .Template.BasePath \"/NOTES.txt\") . | toJson }}}
";

/// The notes for a cluster with no kinds but those of Kubernetes itself.
async fn notes_elsewhere(context: &Context, name: &str) -> String {
    let copy = context.directory().join(name);
    let mut command = Command::new("cp");
    command.arg("-r").arg(chart(name)).arg(&copy);
    let copied = command.status().await.expect("cp starts");
    assert!(copied.success());
    std::fs::write(copy.join("templates/shown.yaml"), SHOWN).expect("writable");
    let chart = copy.to_str().expect("UTF-8");
    let only = "--show-only=templates/shown.yaml";
    let rendered = Helm::of(context)
        .run(["template", "first", chart, only], &json!({}))
        .await;
    let shown = objects(&rendered.expect("rendered")).remove(0);
    shown["data"]["notes"].as_str().expect("text").to_owned()
}

async fn the_notes_warn_where_the_kinds_are_missing(context: Context) {
    let notes = notes_elsewhere(&context, "claw-operator").await;
    for part in [
        "WARNING: this cluster does not know the kinds ClawGateway, ModelRoute and Channel.",
        "helm install claw-crds charts/claw-crds",
    ] {
        assert!(notes.contains(part), "{notes}\nlacks {part}");
    }
}

async fn the_notes_of_the_definitions_name_the_operators_chart(context: Context) {
    let notes = notes_elsewhere(&context, "claw-crds").await;
    for part in [
        "The kinds ClawGateway, ModelRoute and Channel are installed. They stay when first is uninstalled.",
        "helm install claw-operator charts/claw-operator --namespace claw-system --create-namespace",
    ] {
        assert!(notes.contains(part), "{notes}\nlacks {part}");
    }
}
