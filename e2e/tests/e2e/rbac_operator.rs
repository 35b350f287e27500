//! The operator's permissions are exactly those of its chart: a life with everything in it uses each of them, and
//! needs no other.

use std::collections::BTreeSet;

use claw_crds::{Channel, ClawGateway, ModelRoute};
use claw_e2e::{
    control_plane::AuditedRequest,
    definitions,
    service_account::{self, ServiceAccountRef},
};
use claw_operator::kinds::{Certificate, HttpRoute, PodMonitor, PrometheusRule};
use k8s_openapi::api::{
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    helm::{Helm, objects},
    operator::{ACCOUNT, Launch, Operator},
    operator_kinds,
    rbac_usage::{Right, granted, refused, used},
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![the_judge_sees_what_is_unused_and_what_is_refused];
    let alone = cases![the_operator_uses_every_right_of_its_chart_and_needs_no_other];
    // It changes the definitions that every test uses.
    cases.extend(alone.into_iter().map(Case::alone));
    cases
}

fn request(verb: &str, code: u64) -> AuditedRequest {
    AuditedRequest {
        user: "operator".into(),
        verb: verb.into(),
        group: "apps".into(),
        resource: "deployments".into(),
        namespace: "shop".into(),
        name: "helpdesk".into(),
        code,
    }
}

async fn the_judge_sees_what_is_unused_and_what_is_refused(_: Context) {
    let role = json!({"rules": [{
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "verbs": ["list", "watch", "create", "patch", "delete"],
    }]});
    let requests = [
        request("list", 200),
        request("watch", 200),
        request("patch", 201),
        request("update", 403),
    ];
    let rights = granted(&role);
    let used = used(&requests);
    let unused: Vec<&str> = rights
        .difference(&used)
        .map(|right| right.2.as_str())
        .collect();
    assert_eq!(unused, ["delete"]);
    let refused = refused(&requests);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].verb, "update");
}

/// The account and the roles of the chart, in the test's namespace, and what the roles grant.
async fn install_permissions(context: &Context) -> BTreeSet<Right> {
    let helm = Helm::of(context);
    let values = json!({"namespaced": true});
    let rendered = helm.render(ACCOUNT, &values).await.expect("rendered");
    let kinds = ["ServiceAccount", "Role", "RoleBinding"];
    let permissions: Vec<Value> = objects(&rendered)
        .into_iter()
        .filter(|object| kinds.iter().any(|kind| object["kind"] == *kind))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": permissions});
    let applied = context.kubectl().apply(&list.to_string()).await;
    applied.expect("applied");
    let account = ServiceAccountRef {
        namespace: &context.namespace,
        name: ACCOUNT,
    };
    // Where the operator of a test looks for it first.
    let kubeconfig = context.directory().join("operator.kubeconfig");
    let admin = context.cluster.kubeconfig();
    service_account::write_kubeconfig(&context.client, account, admin, &kubeconfig)
        .await
        .expect("a token");
    permissions.iter().flat_map(granted).collect()
}

/// What the operator gives to its gateways' accounts: it must hold that itself.
async fn passed_on(context: &Context) -> BTreeSet<Right> {
    let ours = "app.kubernetes.io/managed-by=claw-operator";
    let listed = context
        .run(["get", "roles", "--selector", ours, "--output=json"])
        .await;
    let list: Value = serde_json::from_str(&listed).expect("JSON");
    let roles = list["items"].as_array().into_iter().flatten();
    roles.flat_map(granted).collect()
}

const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");

/// What a gateway has where the cluster has more kinds, and its end.
async fn live_among_optional_kinds(context: &Context) {
    let change = json!({"spec": {
        "httpRoute": {"parentRefs": [{"name": "edge"}]},
        "ingress": {"host": "chat.example.com"},
        "observability": {"dashboard": {"enabled": true}},
    }});
    context.edit::<ClawGateway>(GATEWAY, &change).await;
    let any = json!({});
    context.becomes::<HttpRoute>(GATEWAY, &any).await;
    context.becomes::<Ingress>(GATEWAY, &any).await;
    context.becomes::<PodMonitor>(GATEWAY, &any).await;
    context.becomes::<PrometheusRule>(GATEWAY, &any).await;
    let dashboards = async || {
        let maps = context.api::<ConfigMap>();
        let ours = ListParams::default().labels("grafana_dashboard=1");
        maps.list(&ours).await.expect("listed").items.len()
    };
    context
        .eventually("there is a dashboard", async || {
            (dashboards().await == 1).then_some(())
        })
        .await;
    // Nobody issues it here, so everything else stays as it is until it is asked for no more.
    let issuer = json!({"spec": {"tls": {"selfSigned": null, "issuerRef": {"name": "public"}}}});
    context.edit::<ClawGateway>(GATEWAY, &issuer).await;
    context.becomes::<Certificate>(GATEWAY, &any).await;
    let change = json!({"spec": {
        "httpRoute": null,
        "ingress": null,
        "observability": {
            "dashboard": {"enabled": false},
            "podMonitor": {"enabled": false},
            "alerts": {"enabled": false},
        },
        "tls": {"selfSigned": {}, "issuerRef": null},
    }});
    context.edit::<ClawGateway>(GATEWAY, &change).await;
    context.vanishes::<HttpRoute>(GATEWAY).await;
    context.vanishes::<Ingress>(GATEWAY).await;
    context.vanishes::<PodMonitor>(GATEWAY).await;
    context.vanishes::<PrometheusRule>(GATEWAY).await;
    context.vanishes::<Certificate>(GATEWAY).await;
    context
        .eventually("there is no dashboard", async || {
            (dashboards().await == 0).then_some(())
        })
        .await;
    context.reports::<ClawGateway>(GATEWAY, PROGRAMMED).await;
}

/// Everything that a gateway can have, and its end.
async fn live(context: &Context) {
    let applied = context.kubectl().apply(&idle_shop()).await;
    applied.expect("applied");
    context.reports::<ClawGateway>(GATEWAY, PROGRAMMED).await;
    context.reports::<ModelRoute>("pages", PROGRAMMED).await;
    context.reports::<Channel>("bot", PROGRAMMED).await;
    assert!(context.find::<PodDisruptionBudget>(GATEWAY).await.is_some());
    let edit = async |spec: Value| {
        let change = json!({ "spec": spec });
        context.edit::<ClawGateway>(GATEWAY, &change).await;
        context.reports::<ClawGateway>(GATEWAY, PROGRAMMED).await;
    };
    edit(json!({"replicas": null, "autoscaling": {"maxReplicas": 4}})).await;
    let autoscaler = context.find::<HorizontalPodAutoscaler>(GATEWAY).await;
    assert!(autoscaler.is_some());
    edit(json!({"replicas": 1, "autoscaling": null})).await;
    context.vanishes::<HorizontalPodAutoscaler>(GATEWAY).await;
    context.vanishes::<PodDisruptionBudget>(GATEWAY).await;
    edit(json!({"storage": {"persistentVolumeClaim": {"whenDeleted": "Delete"}}})).await;
    let claims = context.api::<PersistentVolumeClaim>();
    let claims = async || claims.list(&ListParams::default()).await;
    assert_eq!(claims().await.expect("listed").items.len(), 1);
    edit(json!({"storage": null, "networkPolicy": {"enabled": false}})).await;
    context.vanishes::<NetworkPolicy>(GATEWAY).await;
    live_among_optional_kinds(context).await;
    edit(json!({"tls": {"selfSigned": null, "disabled": {}}})).await;
    context.vanishes::<Secret>(&format!("{GATEWAY}-tls")).await;
    // The same fault twice: told once, then counted.
    for _ in 0..2 {
        context.delete::<Secret>("bot").await;
        let missing = ("ResolvedRefs", "False", "SecretNotFound");
        context.reports::<Channel>("bot", missing).await;
        let applied = context.kubectl().apply(&idle_shop()).await;
        applied.expect("applied");
        let found = ("ResolvedRefs", "True", "ResolvedRefs");
        context.reports::<Channel>("bot", found).await;
    }
}

/// Objects made for a newer operator, whose definitions ask for less: this one cannot read them, and says so.
async fn meet_the_future(context: &Context) {
    for (plural, required) in [
        ("clawgateways", json!(["models"])),
        ("modelroutes", json!(["routes"])),
        ("channels", json!(["access", "model"])),
    ] {
        let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/required";
        let patch = json!([{"op": "replace", "path": field, "value": required}]);
        let definition = format!("crd/{plural}.claw.dev");
        let arguments = [
            "patch",
            &definition,
            "--type=json",
            "--patch",
            &patch.to_string(),
        ];
        context.run(arguments).await;
    }
    let future = "
{apiVersion: claw.dev/v1alpha1, kind: ClawGateway, metadata: {name: future},
 spec: {models: [{name: m, remote: {provider: OpenAI, baseURL: 'https://provider.invalid/v1'}}]}}
---
{apiVersion: claw.dev/v1alpha1, kind: ModelRoute, metadata: {name: future}, spec: {routes: [{pattern: ^/x, model: m}]}}
---
{apiVersion: claw.dev/v1alpha1, kind: Channel, metadata: {name: future}, spec: {model: m, webSocket: {}, access: {direct: Open}}}
";
    context
        .eventually("the new definitions are in force", async || {
            context.kubectl().apply(future).await.ok()
        })
        .await;
    let invalid = ("Accepted", "False", "Invalid");
    for kind in ["clawgateways", "modelroutes", "channels"] {
        let (kind_and_name, wait) = (format!("{kind}/future"), "--for=condition=Accepted=false");
        context
            .run(["wait", wait, "--timeout=60s", &kind_and_name])
            .await;
        let reason = r#"jsonpath={.status.conditions[?(@.type=="Accepted")].reason}"#;
        let told = context
            .run(["get", &kind_and_name, "--output", reason])
            .await;
        assert_eq!(told, invalid.2);
        context.run(["delete", &kind_and_name]).await;
    }
}

async fn the_operator_uses_every_right_of_its_chart_and_needs_no_other(context: Context) {
    let Some(audit) = context.cluster.audit() else {
        // A cluster of somebody else's tells nobody who asked for what.
        return;
    };
    operator_kinds::install(&context).await;
    let granted = install_permissions(&context).await;
    let launch = Launch {
        name: "operator",
        with_election: true,
    };
    let operator = Operator::launch(&context, launch).await;
    context
        .eventually("the operator leads", async || {
            operator.is_ready().await.then_some(())
        })
        .await;
    live(&context).await;
    let passed_on = passed_on(&context).await;
    meet_the_future(&context).await;
    let restored = definitions::install(context.cluster.kubectl(), &context.directory()).await;
    restored.expect("the definitions are restored");
    operator.terminate().await;
    operator_kinds::remove(&context).await;

    let account = format!("system:serviceaccount:{}:{ACCOUNT}", context.namespace);
    let requests = audit.requests_of(&account);
    assert_eq!(refused(&requests), Vec::<&AuditedRequest>::new());
    let used = used(&requests);
    assert_eq!(
        used.difference(&granted).collect::<Vec<_>>(),
        [] as [&Right; 0]
    );
    let needed: BTreeSet<Right> = used.union(&passed_on).cloned().collect();
    let unused: Vec<&Right> = granted.difference(&needed).collect();
    assert!(
        unused.is_empty(),
        "the operator never uses these rights: take them out of operator/src/rbac.rs, or use them in this test\n\
         {unused:#?}"
    );
}
