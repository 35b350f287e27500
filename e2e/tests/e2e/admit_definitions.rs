//! The definitions themselves: installed without a warning, structural, every rule covered by a table, and pleasant
//! through `kubectl`.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::{
    admit::{Table, Verdict},
    admit_channel, admit_claw_gateway, admit_model_route,
    context::{Case, Context, cases},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        every_rule_has_an_object_that_it_refuses,
        the_definitions_are_installed_without_a_warning,
        the_definitions_are_structural,
        short_names_and_the_category_list_all_kinds,
        print_columns_show_the_status,
        a_gateway_is_scaled_through_its_subresource,
        fields_explain_themselves,
        an_unknown_field_is_refused_by_name,
    ]
}

/// The messages of all `x-kubernetes-validations` within a schema.
fn messages(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "x-kubernetes-validations" {
                    let rules = value.as_array().into_iter().flatten();
                    let texts = rules.filter_map(|rule| rule["message"].as_str());
                    into.extend(texts.map(str::to_owned));
                }
                messages(value, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, into)),
        _ => (),
    }
}

async fn every_rule_has_an_object_that_it_refuses(_: Context) {
    let tables = [
        admit_claw_gateway::table(),
        admit_model_route::table(),
        admit_channel::table(),
    ];
    for definition in claw_crds::crd_yaml::definitions() {
        let kind = &definition.spec.names.kind;
        let definition = serde_json::to_value(&definition).expect("a definition is JSON");
        let mut rules = BTreeSet::new();
        messages(&definition, &mut rules);
        assert!(!rules.is_empty(), "{kind} has no rules");
        let table = tables.iter().find(|table| table.kind == kind);
        let table = table.expect("each kind has a table");
        let untested: Vec<&String> = rules.iter().filter(|rule| !covers(table, rule)).collect();
        assert!(
            untested.is_empty(),
            "rules of {kind} without a rejected object: {untested:#?}"
        );
    }
}

fn covers(table: &Table, rule: &str) -> bool {
    table.rows.iter().any(|row| match row.verdict {
        Verdict::Rejected { message, .. } => rule.starts_with(message),
        Verdict::Accepted(_) => false,
    })
}

async fn the_definitions_are_installed_without_a_warning(context: Context) {
    let yaml: Vec<String> = claw_crds::crd_yaml::files()
        .into_iter()
        .map(|(_, yaml)| yaml)
        .collect();
    let applied = context.cluster.kubectl().apply(&yaml.join("---\n")).await;
    let applied = applied.expect("installed");
    assert_eq!(applied.stdout.lines().count(), 3, "{}", applied.stdout);
    assert_eq!(applied.stderr, "", "the API server warns");
}

async fn the_definitions_are_structural(context: Context) {
    let api = Api::<CustomResourceDefinition>::all(context.client);
    let all = api.list(&ListParams::default()).await.expect("listed");
    let ours = all
        .items
        .iter()
        .filter(|crd| crd.spec.group == claw_crds::GROUP);
    let mut count = 0;
    for definition in ours {
        let status = definition.status.as_ref().expect("installed");
        let conditions = status.conditions.iter().flatten();
        let conditions: Vec<_> = conditions
            .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
            .collect();
        assert!(
            conditions.contains(&("Established", "True")),
            "{conditions:?}"
        );
        assert!(
            !conditions
                .iter()
                .any(|(name, _)| *name == "NonStructuralSchema"),
            "{conditions:?}"
        );
        count += 1;
    }
    assert_eq!(count, 3);
}

const OBJECTS: &str = "
apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {name: helpdesk}
spec:
  replicas: 2
  models: [{name: small, local: {source: {path: /models/small}}}]
  auth: {anonymous: {}}
---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {name: support}
spec: {gatewayRef: {name: helpdesk}, routes: [{pattern: ^/chat, model: small}]}
---
apiVersion: claw.dev/v1alpha1
kind: Channel
metadata: {name: web}
spec: {gatewayRef: {name: helpdesk}, model: small, webSocket: {}, access: {direct: Open}}
";

async fn short_names_and_the_category_list_all_kinds(context: Context) {
    context.kubectl().apply(OBJECTS).await.expect("applied");
    let names = "channel.claw.dev/web\nclawgateway.claw.dev/helpdesk\nmodelroute.claw.dev/support";
    for what in ["cgw,mr,ch", "claw"] {
        let listed = context.run(["get", what, "-o", "name"]).await;
        let mut lines: Vec<&str> = listed.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.join("\n"), names, "kubectl get {what}");
    }
}

/// A status as the operator writes it; no operator runs here.
async fn set_status(context: &Context, what: &str, status: Value) {
    let patch = json!({ "status": status }).to_string();
    context
        .run([
            "patch",
            what,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &patch,
        ])
        .await;
}

fn ready(extra: &Value) -> Value {
    let mut status = json!({"conditions": [{
        "type": "Ready", "status": "True", "reason": "Serving", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        status[key] = value.clone();
    }
    status
}

async fn print_columns_show_the_status(context: Context) {
    context.kubectl().apply(OBJECTS).await.expect("applied");
    let endpoint = "https://helpdesk.shop.svc:18789";
    let gateway = json!({"replicas": 2, "readyReplicas": 2, "replicasSummary": "2/2", "models": 1, "endpoint": endpoint});
    set_status(&context, "cgw/helpdesk", ready(&gateway)).await;
    set_status(&context, "mr/support", ready(&json!({"routes": 1}))).await;
    set_status(
        &context,
        "ch/web",
        ready(&json!({"platform": "WebSocket", "path": "/channels/web"})),
    )
    .await;
    let table = [
        (
            "cgw",
            "NAME READY REASON REPLICAS MODELS ENDPOINT AGE",
            format!("helpdesk True Serving 2/2 1 {endpoint}"),
        ),
        (
            "mr",
            "NAME GATEWAY READY REASON ROUTES AGE",
            "support helpdesk True Serving 1".to_owned(),
        ),
        (
            "ch",
            "NAME GATEWAY PLATFORM MODEL READY REASON AGE",
            "web helpdesk WebSocket small True Serving".to_owned(),
        ),
    ];
    for (kind, head, row) in table {
        let printed = context.run(["get", kind]).await;
        let mut lines = printed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(lines.next().as_deref(), Some(head));
        let line = lines.next().expect("one object");
        assert!(line.starts_with(&row), "{line}\ndoes not start with\n{row}");
    }
}

async fn a_gateway_is_scaled_through_its_subresource(context: Context) {
    context.kubectl().apply(OBJECTS).await.expect("applied");
    context.run(["scale", "cgw/helpdesk", "--replicas=5"]).await;
    let replicas = context
        .run(["get", "cgw/helpdesk", "-o", "jsonpath={.spec.replicas}"])
        .await;
    assert_eq!(replicas, "5");
    set_status(
        &context,
        "cgw/helpdesk",
        json!({"replicas": 3, "selector": "app=x"}),
    )
    .await;
    let path = format!(
        "/apis/claw.dev/v1alpha1/namespaces/{}/clawgateways/helpdesk/scale",
        context.namespace
    );
    let scale = context.run(["get", "--raw", &path]).await;
    let scale: Value = serde_json::from_str(&scale).expect("a scale is JSON");
    assert_eq!(scale["spec"], json!({"replicas": 5}));
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app=x"}));
}

async fn fields_explain_themselves(context: Context) {
    for field in [
        "cgw.spec.models.local.source.http.sha256",
        "mr.spec.routes.fallback",
        "ch.spec.access.groups",
    ] {
        let text = context.run(["explain", field]).await;
        let (_, description) = text.split_once("DESCRIPTION:").expect("explained");
        assert!(description.trim().len() > 20, "{field}: {description:?}");
        assert!(!description.contains("<empty>"), "{field}: {description:?}");
    }
}

async fn an_unknown_field_is_refused_by_name(context: Context) {
    let misspelt = OBJECTS
        .replace("fallback", "")
        .replace("replicas: 2", "replica: 2");
    let error = context
        .kubectl()
        .apply(&misspelt)
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("spec.replica"), "{error}");
}
