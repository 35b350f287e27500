//! The health of the three kinds in the eyes of GitOps engines: Argo CD by the scripts that the project ships for it, Flux
//! by kstatus.

use claw_crds::{ClawGateway, ModelRoute};
use k8s_openapi::api::core::v1::ConfigMap;
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib, Table};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    helm::repository,
    hostile::route,
    operator_changes::shop,
    operator_rollout::{container, pods, running, says},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        engines_see_gateways_start_serve_fail_and_rest,
        engines_see_routes_and_channels_wait_for_their_gateway_and_fail_by_themselves,
        an_object_that_the_operator_has_not_seen_is_in_progress,
        the_scripts_for_argo_cd_leave_its_other_settings_alone,
    ]
}

const KINDS: [&str; 3] = ["ClawGateway", "ModelRoute", "Channel"];

/// What both engines say, Argo CD first.
type Health = (&'static str, &'static str);
const IN_PROGRESS: Health = ("Progressing", "InProgress");
const SERVES: Health = ("Healthy", "Current");
const FAILED: Health = ("Degraded", "Failed");
/// Scaled to zero. kstatus has no word for it, and waits.
const RESTS: Health = ("Suspended", "InProgress");

fn settings() -> String {
    repository()
        .join("deploy/argo-cd/health.yaml")
        .to_str()
        .expect("UTF-8")
        .to_owned()
}

/// As Argo CD runs a script: the object is global, and there is no library but that for tables.
fn argo_cd(object: &Value) -> String {
    let settings = std::fs::read_to_string(settings()).expect("there");
    let settings: Value = serde_yaml::from_str(&settings).expect("YAML");
    let kind = object["kind"].as_str().expect("a kind");
    let key = format!("resource.customizations.health.claw.dev_{kind}");
    let script = settings["data"][key].as_str().expect("a script");
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).expect("an interpreter");
    let object = lua.to_value(object).expect("an object is a table");
    lua.globals().set("obj", object).expect("set");
    let health: Table = lua.load(script).eval().expect("the script runs");
    let message: String = health.get("message").expect("a message");
    assert!(!message.is_empty());
    health.get("status").expect("a status")
}

/// As Flux judges kinds that it does not know:
/// <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>
fn kstatus(object: &Value) -> &'static str {
    let status = &object["status"];
    let observed = &status["observedGeneration"];
    if observed.is_number() && *observed != object["metadata"]["generation"] {
        return "InProgress";
    }
    let conditions = status["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for condition in conditions {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return "InProgress",
            (Some("Stalled"), Some("True")) => return "Failed",
            _ => {}
        }
    }
    let ready = conditions.iter().find(|one| one["type"] == "Ready");
    match ready {
        Some(ready) if ready["status"] != "True" => "InProgress",
        _ => "Current",
    }
}

async fn read(context: &Context, kind: &str, name: &str) -> Value {
    let text = context.run(["get", kind, name, "--output=json"]).await;
    serde_json::from_str(&text).expect("JSON")
}

async fn is_seen(context: &Context, (kind, name): (&str, &str), (argo, flux): Health) {
    let what = format!("{kind} {name} is {argo} to Argo CD and {flux} to Flux");
    context
        .eventually(&what, async || {
            let object = read(context, kind, name).await;
            (argo_cd(&object) == argo && kstatus(&object) == flux).then_some(())
        })
        .await;
}

async fn all_serve(context: &Context) {
    for pod in pods(context, 2).await {
        says(context, &pod, &running()).await;
    }
    is_seen(context, ("clawgateway", GATEWAY), SERVES).await;
}

async fn engines_see_gateways_start_serve_fail_and_rest(context: Context) {
    const SHOP: (&str, &str) = ("clawgateway", GATEWAY);
    let _operator = shop(&context).await;
    is_seen(&context, SHOP, IN_PROGRESS).await;
    all_serve(&context).await;
    let pull = json!({"waiting": {"reason": "ErrImagePull", "message": "no such manifest"}});
    for pod in pods(&context, 2).await {
        let mut status = container(&pull);
        status["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        says(&context, &pod, &status).await;
    }
    is_seen(&context, SHOP, FAILED).await;
    all_serve(&context).await;
    let rest = json!({"spec": {"replicas": 0}});
    context.edit::<ClawGateway>(GATEWAY, &rest).await;
    is_seen(&context, SHOP, RESTS).await;
}

async fn engines_see_routes_and_channels_wait_for_their_gateway_and_fail_by_themselves(
    context: Context,
) {
    const ATTACHED: [(&str, &str); 3] = [
        ("modelroute", "pages"),
        ("channel", "web"),
        ("channel", "bot"),
    ];
    let _operator = shop(&context).await;
    for one in ATTACHED {
        let object = read(&context, one.0, one.1).await;
        let conditions = object["status"]["conditions"].as_array();
        let mut conditions = conditions.expect("conditions").iter();
        let is_unready = |one: &Value| one["type"] == "Ready" && one["status"] == "False";
        assert!(conditions.any(is_unready), "{object:#}");
        is_seen(&context, one, IN_PROGRESS).await;
    }
    all_serve(&context).await;
    for one in ATTACHED {
        is_seen(&context, one, SERVES).await;
    }
    // Applied before its gateway, as engines may do.
    let early = route("not-there-yet", "early", "^/early");
    let applied = context.kubectl().apply(&early.to_string()).await;
    applied.expect("applied");
    let told = ("ResolvedRefs", "False", "GatewayNotFound");
    context.reports::<ModelRoute>("early", told).await;
    is_seen(&context, ("modelroute", "early"), IN_PROGRESS).await;
    let unknown = json!({"spec": {"routes": [{"pattern": "^/ask", "model": "nobody"}]}});
    context.edit::<ModelRoute>("pages", &unknown).await;
    let told = ("ResolvedRefs", "False", "ModelNotFound");
    context.reports::<ModelRoute>("pages", told).await;
    // The gateway may get the model with the next commit.
    is_seen(&context, ATTACHED[0], IN_PROGRESS).await;
    let wrong = json!({"spec": {"routes": [{"pattern": "^/a(b", "model": "big"}]}});
    context.edit::<ModelRoute>("pages", &wrong).await;
    is_seen(&context, ATTACHED[0], FAILED).await;
    is_seen(&context, ATTACHED[1], SERVES).await;
}

async fn an_object_that_the_operator_has_not_seen_is_in_progress(_: Context) {
    let ready =
        json!({"type": "Ready", "status": "True", "reason": "Ready", "message": "it serves"});
    for kind in KINDS {
        let new = json!({"kind": kind, "metadata": {"generation": 1}});
        assert_eq!(argo_cd(&new), "Progressing");
        let mut seen = json!({
            "kind": kind,
            "metadata": {"generation": 1},
            "status": {"observedGeneration": 1, "conditions": [ready]},
        });
        assert_eq!((&*argo_cd(&seen), kstatus(&seen)), SERVES);
        seen["metadata"]["generation"] = json!(2);
        assert_eq!((&*argo_cd(&seen), kstatus(&seen)), IN_PROGRESS);
    }
}

async fn the_scripts_for_argo_cd_leave_its_other_settings_alone(context: Context) {
    let own = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": {"url": "https://argocd.invalid"},
    });
    let installed = context.kubectl().apply(&own.to_string()).await;
    installed.expect("as Argo CD is installed");
    let settings = settings();
    context
        .run([
            "apply",
            "--server-side",
            "--field-manager=claw",
            "--filename",
            &settings,
        ])
        .await;
    let map = context.find::<ConfigMap>("argocd-cm").await.expect("there");
    let data = map.data.expect("settings");
    assert_eq!(data["url"], "https://argocd.invalid");
    assert_eq!(data.len(), 1 + KINDS.len());
    for kind in KINDS {
        let key = format!("resource.customizations.health.claw.dev_{kind}");
        assert!(data[&key].contains("Stalled"), "{key}");
    }
}
