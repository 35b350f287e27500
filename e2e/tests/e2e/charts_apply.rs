//! What the charts render is taken by the API server, in all combinations of values that matter, by server-side dry run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    charts_values::{everything, monitoring},
    context::{Case, Context, cases},
    helm::{Helm, objects},
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        every_combination_is_taken,
        three_switches_go_together_in_every_way,
        restricted_pods_are_asked_for,
    ];
    let alone = cases![objects_of_prometheus_are_taken_where_their_kinds_exist];
    // Other tests rely on the absence of the kinds.
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

/// How many switches stand in all combinations; the others follow from them.
const FREE: u32 = 6;

/// Values in which the first six switches take every combination, and any three of all twelve do, too: each of the other
/// six is the sum of three free ones, no two of the same three. `has_kinds` says whether those of Prometheus exist.
fn combination(number: u32, has_kinds: bool) -> Value {
    let is_set = |switch: usize| (number & SWITCHES[switch]).count_ones() % 2 == 1;
    let has_service = is_set(2);
    json!({
        "namespaced": is_set(0),
        "replicas": if is_set(1) { 2 } else { 1 },
        "serviceAccount": {"create": is_set(3)},
        "rbac": {"create": is_set(4), "aggregateToUserRoles": is_set(7)},
        "networkPolicy": {"enabled": is_set(5)},
        "podDisruptionBudget": {"enabled": is_set(6)},
        "spreadReplicas": is_set(8),
        "metrics": {
            "service": {"enabled": has_service},
            "dashboard": {"enabled": is_set(9)},
            "prometheusRule": {"enabled": has_kinds && is_set(10)},
            // Refused without the Service.
            "serviceMonitor": {"enabled": has_kinds && has_service && is_set(11)},
        },
    })
}

/// By bits of a combination's number.
const SWITCHES: [u32; 12] = [
    1, 2, 4, 8, 16, 32, 0b00_0111, 0b01_1001, 0b10_1010, 0b11_0100, 0b10_0101, 0b01_0110,
];

/// The objects of all combinations.
async fn combinations(context: &Context, has_kinds: bool) -> String {
    let helm = Helm::of(context);
    let mut manifest = String::new();
    for number in 0..1 << FREE {
        let values = combination(number, has_kinds);
        let rendered = helm.render(&format!("r{number}"), &values).await;
        manifest.push_str(&rendered.expect("rendered"));
        manifest.push_str("---\n");
    }
    manifest
}

async fn every_combination_is_taken(context: Context) {
    ask_for_restricted_pods(&context).await;
    dry_run(&context, &combinations(&context, false).await).await;
}

/// Of any three switches, all eight settings are among the combinations.
async fn three_switches_go_together_in_every_way(_: Context) {
    for (third, c) in SWITCHES.iter().enumerate() {
        for (second, b) in SWITCHES[..third].iter().enumerate() {
            for a in &SWITCHES[..second] {
                let settings: BTreeSet<[u32; 3]> = (0..1 << FREE)
                    .map(|number: u32| [a, b, c].map(|bits| (number & bits).count_ones() % 2))
                    .collect();
                assert_eq!(settings.len(), 8, "{a:b} {b:b} {c:b}");
            }
        }
    }
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

/// As much of the kinds as the chart uses; their own definitions have hundreds of fields.
fn monitoring_kinds() -> Value {
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let text = json!({"type": "string"});
    let list = |of: Value| json!({"type": "array", "items": {"type": "object", "properties": of}});
    let relabelings = list(json!({
        "sourceLabels": {"type": "array", "items": text},
        "regex": text,
        "action": text,
        "targetLabel": text,
        "replacement": text,
    }));
    let endpoints = list(json!({
        "port": text,
        "path": text,
        "interval": text,
        "scrapeTimeout": text,
        "relabelings": relabelings,
        "metricRelabelings": relabelings,
    }));
    let rules =
        list(json!({"alert": text, "expr": text, "for": text, "labels": map, "annotations": map}));
    let monitor = json!({
        "selector": {"type": "object", "properties": {"matchLabels": map}},
        "endpoints": endpoints,
    });
    let groups = list(json!({"name": text, "rules": rules}));
    json!({"apiVersion": "v1", "kind": "List", "items": [
        definition("ServiceMonitor", "servicemonitors", &monitor),
        definition("PrometheusRule", "prometheusrules", &json!({"groups": groups})),
    ]})
}

fn definition(kind: &str, plural: &str, spec: &Value) -> Value {
    let spec = json!({"type": "object", "properties": spec});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

async fn objects_of_prometheus_are_taken_where_their_kinds_exist(context: Context) {
    const MONITORS: &str = "crd/servicemonitors.monitoring.coreos.com";
    const RULES: &str = "crd/prometheusrules.monitoring.coreos.com";
    let helm = Helm::of(&context);
    let applied = context
        .kubectl()
        .apply(&monitoring_kinds().to_string())
        .await;
    applied.expect("the kinds are installed");
    let established = "--for=condition=Established";
    let wait = ["wait", established, "--timeout=60s", MONITORS, RULES];
    context.run(wait).await;
    for values in [monitoring(), everything()] {
        let rendered = helm.render("claw", &values).await.expect("rendered");
        for kind in ["ServiceMonitor", "PrometheusRule"] {
            assert!(rendered.contains(&format!("kind: {kind}")), "{rendered}");
        }
        dry_run(&context, &rendered).await;
    }
    let manifest = combinations(&context, true).await;
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        assert!(manifest.contains(&format!("kind: {kind}")), "{kind}");
    }
    dry_run(&context, &manifest).await;
    context.run(["delete", MONITORS, RULES]).await;
}
