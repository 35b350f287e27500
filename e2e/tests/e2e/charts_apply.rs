//! What the charts render is taken by the API server, in every combination of values, by server-side dry run.

use serde_json::{Value, json};

use crate::{
    charts_values::{everything, monitoring},
    context::{Case, Context, cases},
    helm::{Helm, objects},
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![every_combination_is_taken, restricted_pods_are_asked_for];
    let alone = cases![a_service_monitor_is_taken_where_its_kind_exists];
    // Other tests rely on the absence of the kind.
    cases.extend(alone.into_iter().map(Case::alone));
    cases
}

/// Nothing is stored; unknown fields, and warnings too, are failures.
async fn dry_run(context: &Context, manifest: &str) {
    let arguments = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--field-manager=helm",
        "--filename=-",
    ];
    let applied = context.kubectl().run_with_input(arguments, manifest).await;
    let output = applied.expect("the API server takes all objects");
    assert_eq!(output.stderr, "", "the API server warns");
    assert_eq!(output.stdout.lines().count(), objects(manifest).len());
}

/// The API server warns of pods that are not at the strictest level.
async fn ask_for_restricted_pods(context: &Context) {
    let label = "pod-security.kubernetes.io/warn=restricted";
    let namespace = &context.namespace;
    context.run(["label", "namespace", namespace, label]).await;
}

async fn every_combination_is_taken(context: Context) {
    ask_for_restricted_pods(&context).await;
    let helm = Helm::of(&context);
    let mut manifest = String::new();
    for number in 0..64_u32 {
        let is_set = |bit: u32| number & (1 << bit) != 0;
        let values = json!({
            "namespaced": is_set(0),
            "replicas": if is_set(1) { 2 } else { 1 },
            "metrics": {"service": {"enabled": is_set(2)}},
            "serviceAccount": {"create": is_set(3)},
            "rbac": {"create": is_set(4)},
            "networkPolicy": {"enabled": is_set(5)},
        });
        let rendered = helm.render(&format!("r{number}"), &values).await;
        manifest.push_str(&rendered.expect("rendered"));
        manifest.push_str("---\n");
    }
    dry_run(&context, &manifest).await;
}

async fn restricted_pods_are_asked_for(context: Context) {
    ask_for_restricted_pods(&context).await;
    let helm = Helm::of(&context);
    let lax = json!({"securityContext": {"allowPrivilegeEscalation": true}});
    let rendered = helm.render("lax", &lax).await.expect("rendered");
    let arguments = ["apply", "--server-side", "--dry-run=server", "--filename=-"];
    let applied = context.kubectl().run_with_input(arguments, &rendered).await;
    let warnings = applied.expect("taken").stderr;
    assert!(warnings.contains("would violate PodSecurity"), "{warnings}");
}

/// As much of the kind as the chart uses; its own definition has hundreds of fields.
fn service_monitors() -> Value {
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let relabelings = json!({"type": "array", "items": {"type": "object", "properties": {
        "sourceLabels": {"type": "array", "items": {"type": "string"}},
        "regex": {"type": "string"},
        "action": {"type": "string"},
        "targetLabel": {"type": "string"},
        "replacement": {"type": "string"},
    }}});
    let endpoint = json!({"type": "object", "properties": {
        "port": {"type": "string"},
        "path": {"type": "string"},
        "interval": {"type": "string"},
        "scrapeTimeout": {"type": "string"},
        "relabelings": relabelings,
        "metricRelabelings": relabelings,
    }});
    let spec = json!({"type": "object", "required": ["endpoints", "selector"], "properties": {
        "selector": {"type": "object", "properties": {"matchLabels": map}},
        "endpoints": {"type": "array", "items": endpoint},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

async fn a_service_monitor_is_taken_where_its_kind_exists(context: Context) {
    let helm = Helm::of(&context);
    let kind = "crd/servicemonitors.monitoring.coreos.com";
    let applied = context
        .kubectl()
        .apply(&service_monitors().to_string())
        .await;
    applied.expect("the kind is installed");
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", kind];
    context.run(wait).await;
    for values in [monitoring(), everything()] {
        let rendered = helm.render("claw", &values).await.expect("rendered");
        assert!(rendered.contains("kind: ServiceMonitor"), "{rendered}");
        dry_run(&context, &rendered).await;
    }
    context.run(["delete", kind]).await;
}
