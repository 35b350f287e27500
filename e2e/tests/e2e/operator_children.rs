//! What the operator makes of the objects: exact children, and statuses of all three kinds.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Secret, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        the_first_example_becomes_exactly_its_children,
        a_gateway_becomes_exactly_its_children,
        the_children_say_what_the_gateway_says,
        a_gateway_is_ready_when_its_pods_are,
        a_gpu_and_an_autoscaler_reach_the_cluster,
        every_example_is_taken_and_reconciled,
    ]
}

const CHILDREN: &str = "serviceaccounts,roles,rolebindings,secrets,services,deployments,horizontalpodautoscalers,\
                        poddisruptionbudgets,networkpolicies,persistentvolumeclaims,ingresses,configmaps";
const OURS: &str = "app.kubernetes.io/managed-by=claw-operator";

/// Kind and name of every child in the namespace; each belongs to the gateway.
async fn children(context: &Context, gateway: &str) -> BTreeSet<(String, String)> {
    let listed = context
        .kubectl()
        .run(["get", CHILDREN, "--selector", OURS, "-o", "json"])
        .await
        .expect("listed");
    let list: Value = serde_json::from_str(&listed.stdout).expect("a list is JSON");
    let items = list["items"].as_array().into_iter().flatten();
    items
        .map(|item| {
            let owner = &item["metadata"]["ownerReferences"][0];
            assert_eq!(owner["kind"], "ClawGateway", "{item:#}");
            assert_eq!(owner["name"], gateway, "{item:#}");
            assert_eq!(owner["controller"], true, "{item:#}");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&item["kind"]), text(&item["metadata"]["name"]))
        })
        .collect()
}

/// What every gateway with a certificate of its own has.
fn expected_children(gateway: &str) -> BTreeSet<(String, String)> {
    [
        ("ServiceAccount", ""),
        ("Role", ""),
        ("RoleBinding", ""),
        ("Secret", "-config"),
        ("Secret", "-ca"),
        ("Secret", "-tls"),
        ("Service", ""),
        ("NetworkPolicy", ""),
        ("Deployment", ""),
    ]
    .map(|(kind, suffix)| (kind.to_owned(), format!("{gateway}{suffix}")))
    .into()
}

async fn the_first_example_becomes_exactly_its_children(context: Context) {
    let _operator = Operator::start(&context).await;
    let applied = context.kubectl().apply_path(&examples()).await;
    applied.expect("applied");
    for condition in ["Accepted", "ResolvedRefs", "Programmed"] {
        let good = (condition, "True", condition);
        context.reports::<ClawGateway>("support", good).await;
        context.reports::<ModelRoute>("support", good).await;
        context.reports::<Channel>("web", good).await;
    }
    assert_eq!(
        children(&context, "support").await,
        expected_children("support")
    );
}

async fn a_gateway_becomes_exactly_its_children(context: Context) {
    let _operator = Operator::start(&context).await;
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    context
        .reports::<ClawGateway>(GATEWAY, ("Programmed", "True", "Programmed"))
        .await;
    let mut expected = expected_children(GATEWAY);
    // Two replicas: drains take one at a time.
    expected.insert(("PodDisruptionBudget".to_owned(), GATEWAY.to_owned()));
    assert_eq!(children(&context, GATEWAY).await, expected);
}

async fn the_children_say_what_the_gateway_says(context: Context) {
    let _operator = Operator::start(&context).await;
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ModelRoute>("pages", programmed).await;
    context.reports::<Channel>("web", programmed).await;
    context.reports::<Channel>("bot", programmed).await;
    let pod = json!({"spec": {"template": {"spec": {
        "serviceAccountName": GATEWAY,
        "containers": [{
            "image": "clawdbot:test",
            "resources": {"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        }],
    }}}});
    context.becomes::<Deployment>(GATEWAY, &pod).await;
    context
        .becomes::<Deployment>(GATEWAY, &json!({"spec": {"replicas": 2}}))
        .await;
    let port = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 18789, "name": "https"}]}});
    context.becomes::<Service>(GATEWAY, &port).await;
    context
        .becomes::<PodDisruptionBudget>(GATEWAY, &json!({"spec": {"maxUnavailable": 1}}))
        .await;
    let tls: Secret = context
        .becomes(
            &format!("{GATEWAY}-tls"),
            &json!({"type": "kubernetes.io/tls"}),
        )
        .await;
    let entries: Vec<String> = tls.data.into_iter().flatten().map(|(key, _)| key).collect();
    assert_eq!(entries, ["ca.crt", "tls.crt", "tls.key"]);

    let config = config(&context).await;
    let names = |list: &str, field: &str| -> Vec<String> {
        let items = config[list].as_array().into_iter().flatten();
        items
            .map(|item| item[field].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(names("models", "name"), ["big", "bigger"]);
    assert_eq!(names("routes", "pattern"), ["^/ask", "^/think"]);
    assert_eq!(names("channels", "name"), ["bot", "web"]);
    assert_eq!(config["auth"]["apiKeys"][0]["name"], "keys/web");
}

/// The configuration that the operator rendered.
async fn config(context: &Context) -> Value {
    let secret = context
        .becomes::<Secret>(&format!("{GATEWAY}-config"), &json!({}))
        .await;
    let bytes = secret.data.and_then(|mut data| data.remove("config.json"));
    serde_json::from_slice(&bytes.expect("config.json").0).expect("a configuration is JSON")
}

/// No kubelet runs here, so the test says what one would.
async fn pods_get_ready(context: &Context, count: usize) {
    let api = context.api::<Pod>();
    let pods = context
        .eventually("the Deployment has its pods", async || {
            let pods = api.list(&ListParams::default()).await.ok()?.items;
            (pods.len() == count).then_some(pods)
        })
        .await;
    for pod in pods {
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let patched = api
            .patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&ready),
            )
            .await;
        patched.expect("the pod's status is written");
    }
}

async fn a_gateway_is_ready_when_its_pods_are(context: Context) {
    let _operator = Operator::start(&context).await;
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    let message = context
        .reports::<ClawGateway>(GATEWAY, ("Ready", "False", "DeploymentNotReady"))
        .await;
    assert!(message.contains("0 of 2 pods"), "{message}");
    context
        .reports::<ModelRoute>("pages", ("Ready", "False", "GatewayNotReady"))
        .await;
    pods_get_ready(&context, 2).await;
    let ready = ("Ready", "True", "Ready");
    let message = context.reports::<ClawGateway>(GATEWAY, ready).await;
    assert!(message.contains("pods serve"), "{message}");
    context.reports::<ModelRoute>("pages", ready).await;
    context.reports::<Channel>("web", ready).await;
    context.reports::<Channel>("bot", ready).await;
    let status = json!({"status": {
        "replicas": 2, "readyReplicas": 2, "replicasSummary": "2/2", "models": 2,
        "endpoint": format!("https://{GATEWAY}.{}.svc:18789", context.namespace),
    }});
    let gateway = context.becomes::<ClawGateway>(GATEWAY, &status).await;
    let status = gateway.status.expect("it has one");
    assert!(status.certificate_expires.is_some(), "{status:?}");
    context
        .becomes::<ModelRoute>("pages", &json!({"status": {"routes": 2}}))
        .await;
    let channel = json!({"status": {"platform": "Telegram", "path": "/channels/bot"}});
    context.becomes::<Channel>("bot", &channel).await;
}

async fn a_gpu_and_an_autoscaler_reach_the_cluster(context: Context) {
    let _operator = Operator::start(&context).await;
    let gateway = format!(
        "
apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {{name: {GATEWAY}}}
spec:
  models: [{{name: small, local: {{source: {{path: /models/small}}}}}}]
  auth: {{anonymous: {{}}}}
  accelerator: {{type: Nvidia, count: 2, nodeSelector: {{gpu: h200}}, runtimeClassName: nvidia}}
  autoscaling: {{minReplicas: 2, maxReplicas: 10}}
"
    );
    context.kubectl().apply(&gateway).await.expect("applied");
    let scaled = json!({"spec": {
        "minReplicas": 2, "maxReplicas": 10,
        "scaleTargetRef": {"kind": "Deployment", "name": GATEWAY},
        "metrics": [{"resource": {"name": "cpu", "target": {"averageUtilization": 70}}}],
        "behavior": {"scaleUp": {"stabilizationWindowSeconds": 600, "policies": [{"type": "Pods", "value": 2}]}},
    }});
    context
        .becomes::<HorizontalPodAutoscaler>(GATEWAY, &scaled)
        .await;
    let pod = json!({"spec": {"template": {"spec": {
        "nodeSelector": {"gpu": "h200"},
        "runtimeClassName": "nvidia",
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [{"image": "clawdbot:test-cuda", "resources": {"limits": {"nvidia.com/gpu": "2"}}}],
    }}}});
    context.becomes::<Deployment>(GATEWAY, &pod).await;
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Every YAML file with objects, in each folder of `examples/`.
pub(crate) fn example_folders() -> Vec<PathBuf> {
    let examples = examples();
    let entries = std::fs::read_dir(&examples).expect("examples are there");
    let folders = entries.map(|entry| entry.expect("readable").path());
    let is_for_clusters = |path: &PathBuf| path.is_dir() && !path.ends_with("standalone");
    let mut folders: Vec<_> = folders.filter(is_for_clusters).collect();
    folders.sort();
    folders.insert(0, examples);
    folders
}

async fn every_example_is_taken_and_reconciled(context: Context) {
    let _operator = Operator::start(&context).await;
    for folder in example_folders() {
        let applied = context.kubectl().apply_path(&folder).await;
        let applied = applied.expect("an example is accepted");
        assert_eq!(applied.stderr, "", "{}", folder.display());
    }
    let gateways = context
        .api::<ClawGateway>()
        .list(&ListParams::default())
        .await;
    let gateways = gateways.expect("listed").items;
    assert!(!gateways.is_empty());
    for gateway in gateways {
        let accepted = ("Accepted", "True", "Accepted");
        context
            .reports::<ClawGateway>(&gateway.name_any(), accepted)
            .await;
        let programmed = ("Programmed", "True", "Programmed");
        context
            .reports::<ClawGateway>(&gateway.name_any(), programmed)
            .await;
    }
    let routes = context
        .api::<ModelRoute>()
        .list(&ListParams::default())
        .await;
    for route in routes.expect("listed") {
        let resolved = ("ResolvedRefs", "True", "ResolvedRefs");
        context
            .reports::<ModelRoute>(&route.name_any(), resolved)
            .await;
    }
}
