//! What the charts render: whole objects by snapshot, an effect for every value, and a refusal of everything else.

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use crate::{
    charts_values::{everything, monitoring},
    context::{Case, Context, cases},
    helm::{Helm, chart, objects, of_kind, repository},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        helm_finds_nothing_to_complain_about,
        the_objects_are_those_of_the_snapshots,
        every_value_has_an_effect,
        the_operator_takes_what_the_chart_passes,
        wrong_values_are_refused_by_name,
        the_definitions_are_those_of_the_repository,
    ]
}

async fn helm_finds_nothing_to_complain_about(context: Context) {
    let helm = Helm::of(&context);
    for name in ["claw-crds", "claw-operator"] {
        let linted = helm
            .run(["lint", "--strict", &chart(name)], &json!({}))
            .await;
        linted.expect("no complaint");
    }
    for values in [everything(), monitoring(), json!({"namespaced": true})] {
        let linted = helm
            .run(["lint", "--strict", &chart("claw-operator")], &values)
            .await;
        linted.expect("no complaint");
    }
}

async fn the_objects_are_those_of_the_snapshots(context: Context) {
    let helm = Helm::of(&context);
    for (name, values) in [
        ("default", json!({})),
        ("namespaced", json!({"namespaced": true})),
        ("one_replica", json!({"replicas": 1})),
        ("monitoring", monitoring()),
        ("everything", everything()),
    ] {
        let rendered = helm.render("claw", &values).await.expect("rendered");
        let rendered = rendered.replace(&context.namespace, "NAMESPACE");
        insta::assert_snapshot!(name, without_generated_parts(&rendered));
    }
}

/// What is generated has tests of its own, beside the tables that it comes from: template, and where that begins.
const GENERATED: [(&str, &str); 3] = [
    ("templates/rbac.yaml", "rules:\n"),
    ("templates/prometheus-rule.yaml", "groups:\n"),
    ("templates/dashboard.yaml", "data:\n"),
];

/// The objects' frames.
fn without_generated_parts(rendered: &str) -> String {
    let mut text = String::new();
    for document in rendered.split_inclusive("---\n") {
        let cut = GENERATED.iter().find_map(|(template, begin)| {
            let is_of = document.contains(template);
            is_of
                .then(|| document.split_once(begin))?
                .map(|parts| (parts, begin))
        });
        let Some(((head, rest), begin)) = cut else {
            text.push_str(document);
            continue;
        };
        text.push_str(head);
        text.push_str(begin.trim_end());
        text.push_str(" [...]\n");
        if rest.ends_with("---\n") {
            text.push_str("---\n");
        }
    }
    text
}

/// Paths of the values; objects that are passed on as a whole are one value.
fn leaves(defaults: &Value, path: &str, into: &mut Vec<String>) {
    let whole = ["/resources", "/podSecurityContext", "/securityContext"];
    match defaults {
        Value::Object(fields) if !fields.is_empty() && !whole.contains(&path) => {
            for (key, value) in fields {
                leaves(value, &format!("{path}/{key}"), into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

fn with(values: &Value, path: &str, value: &Value) -> Value {
    let mut values = values.clone();
    let mut place = &mut values;
    for key in path.split('/').skip(1) {
        place = &mut place[key];
    }
    *place = value.clone();
    values
}

/// Alone it changes what is rendered, or it does so beside all others.
async fn every_value_has_an_effect(context: Context) {
    let helm = Helm::of(&context);
    let text = std::fs::read_to_string(repository().join("charts/claw-operator/values.yaml"));
    let defaults: Value = serde_yaml::from_str(&text.expect("there")).expect("YAML");
    let render = async |values: &Value| helm.render("claw", values).await.expect("rendered");
    let (plain, full) = (render(&json!({})).await, render(&everything()).await);
    let mut paths = Vec::new();
    leaves(&defaults, "", &mut paths);
    assert!(paths.len() > 40, "{paths:?}");
    for path in paths {
        let default = defaults.pointer(&path).expect("there");
        let all = everything();
        let other = all.pointer(&path).expect("everything() has every value");
        let other = match (default, other) {
            (Value::Bool(default), _) => json!(!default),
            (default, other) => {
                assert_ne!(default, other, "everything() has the default of {path}");
                other.clone()
            }
        };
        let alone = render(&with(&json!({}), &path, &other)).await;
        if alone == plain {
            let reset = render(&with(&everything(), &path, default)).await;
            assert_ne!(reset, full, "{path} does nothing");
        }
    }
}

/// Flags that the chart leaves alone, and why.
const NOT_IN_THE_CHART: [(&str, &str); 5] = [
    ("namespace", "by CLAW_NAMESPACE, which follows the pod"),
    ("leader-election", "on, or replicas would fight"),
    ("lease-namespace", "the pod's own"),
    (
        "lease-name",
        "one for all releases of a namespace, which would fight otherwise",
    ),
    ("port-file", "for tests"),
];

async fn the_operator_takes_what_the_chart_passes(context: Context) {
    let helm = Helm::of(&context);
    let rendered = helm.render("claw", &everything()).await.expect("rendered");
    let rendered = objects(&rendered);
    let container = &of_kind(&rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let passed: Vec<&str> = container["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .map(|argument| argument.as_str().expect("text"))
        .collect();
    let args = claw_operator::Args::try_parse_from([&["claw-operator"], &passed[..]].concat())
        .expect("the operator takes the arguments");
    assert_eq!(args.management_address.to_string(), "[::]:9090");
    assert_eq!(args.log_level, "claw_operator=debug,info");
    assert_eq!(
        args.gateway_image,
        format!("second.invalid/team/gateway@sha256:{}", "b".repeat(64))
    );
    assert_eq!(
        args.gateway_cuda_image,
        format!("third.invalid/team/gateway-cuda@sha256:{}", "c".repeat(64))
    );
    let variable = container["env"].as_array().into_iter().flatten();
    let variable = variable
        .into_iter()
        .find(|variable| variable["name"] == "CLAW_NAMESPACE");
    let field = &variable.expect("set")["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(field, "metadata.namespace");
    for argument in claw_operator::Args::command().get_arguments() {
        let flag = argument.get_long().expect("all have one");
        let is_passed = passed
            .iter()
            .any(|passed| passed.starts_with(&format!("--{flag}=")));
        let is_left_out = NOT_IN_THE_CHART.iter().any(|(name, _)| *name == flag)
            || ["help", "version"].contains(&flag);
        assert_ne!(is_passed, is_left_out, "--{flag}");
    }
}

async fn wrong_values_are_refused_by_name(context: Context) {
    let helm = Helm::of(&context);
    for (values, parts) in [
        (json!({"replica": 3}), ["'replica'", "not allowed"]),
        (
            json!({"gateway": {"image": {"name": "x"}}}),
            ["/gateway/image", "'name' not allowed"],
        ),
        (
            json!({"replicas": "two"}),
            ["/replicas", "got string, want integer"],
        ),
        (
            json!({"logging": {"format": "xml"}}),
            ["/logging/format", "'json', 'text'"],
        ),
        (
            json!({"image": {"digest": "latest"}}),
            ["/image/digest", "'latest' does not match pattern"],
        ),
        (
            json!({"image": {"repository": "operator:1"}}),
            ["/image/repository", "does not match pattern"],
        ),
        (
            json!({"imageRegistry": "https://mirror.invalid"}),
            ["/imageRegistry", "does not match pattern"],
        ),
        (
            json!({"management": {"port": 80}}),
            ["/management/port", "want 1,024"],
        ),
        (
            json!({"podDisruptionBudget": {"maxUnavailable": "half"}}),
            ["/podDisruptionBudget/maxUnavailable", "'half'"],
        ),
        (
            json!({"env": [{"value": "x"}]}),
            ["/env/0", "missing property 'name'"],
        ),
        (
            json!({"commonLabels": {"team": "not valid"}}),
            ["/commonLabels/team", "does not match pattern"],
        ),
        (
            json!({"fullnameOverride": "x".repeat(54)}),
            ["/fullnameOverride", "maxLength"],
        ),
        (
            json!({"metrics": {"service": {"enabled": false}, "serviceMonitor": {"enabled": true}}}),
            ["/metrics/service/enabled", "must be true"],
        ),
    ] {
        let refused = helm.render("claw", &values).await;
        let message = refused.expect_err("refused");
        for part in parts {
            assert!(
                message.contains(part),
                "{values}\n{message}\nlacks {part:?}"
            );
        }
    }
    let unknown = helm
        .run(
            ["template", "claw", &chart("claw-crds")],
            &json!({"keep": false}),
        )
        .await;
    let message = unknown.expect_err("refused");
    assert!(message.contains("'keep' not allowed"), "{message}");
}

async fn the_definitions_are_those_of_the_repository(context: Context) {
    let helm = Helm::of(&context);
    let values = json!({"labels": {"team": "platform"}, "annotations": {"example.com/a": "b"}});
    let rendered = helm
        .run(["template", "claw", &chart("claw-crds")], &values)
        .await
        .expect("rendered");
    let mut rendered = objects(&rendered);
    for (_, yaml) in claw_crds::crd_yaml::files() {
        let expected: Value = serde_yaml::from_str(&yaml).expect("YAML");
        let position = rendered
            .iter()
            .position(|object| object["metadata"]["name"] == expected["metadata"]["name"]);
        let object = rendered.remove(position.expect("rendered"));
        assert!(
            object["spec"] == expected["spec"],
            "{} differs: run `cargo xtask crds`",
            expected["metadata"]["name"]
        );
        let metadata = &object["metadata"];
        assert_eq!(metadata["annotations"]["helm.sh/resource-policy"], "keep");
        assert_eq!(metadata["annotations"]["example.com/a"], "b");
        assert_eq!(metadata["labels"]["team"], "platform");
    }
    assert!(rendered.is_empty(), "{rendered:#?}");
}
