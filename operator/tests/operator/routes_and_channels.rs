//! Routes and channels: told by their gateway, or by nobody's absence.

use serde_json::{Value, json};

use crate::{
    fake_api::FakeApi,
    harness::{CONFIG, GATEWAY, Operator, channel_path, route_path, until, until_reason},
};

const MINIMAL: &str = include_str!("../fixtures/minimal.yaml");

fn gateway() -> Value {
    serde_yaml::from_str(MINIMAL).expect("YAML")
}

fn route(name: &str, gateway: &str, pattern: &str) -> Value {
    json!({
        "apiVersion": "claw.dev/v1alpha1", "kind": "ModelRoute",
        "metadata": {"name": name, "namespace": "shop", "generation": 1},
        "spec": {"gatewayRef": {"name": gateway}, "routes": [{"pattern": pattern, "model": "parrot"}]},
    })
}

fn channel(name: &str) -> Value {
    json!({
        "apiVersion": "claw.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": name, "namespace": "shop", "generation": 1},
        "spec": {
            "gatewayRef": {"name": "helpdesk"}, "model": "parrot", "webSocket": {},
            "access": {"direct": "Open"},
        },
    })
}

#[tokio::test]
async fn a_broken_route_is_told_and_the_others_serve() {
    let api = FakeApi::new();
    api.put(GATEWAY, gateway());
    api.put(&route_path("good"), route("good", "helpdesk", "^/good"));
    api.put(&route_path("broken"), route("broken", "helpdesk", "^/("));
    api.put(&channel_path("web"), channel("web"));
    let operator = Operator::start(&api);
    let accepted = until_reason(&api, &route_path("broken"), "Accepted", "Invalid").await;
    assert!(
        accepted["message"]
            .as_str()
            .expect("text")
            .contains("\"^/(\"")
    );
    until_reason(&api, &route_path("broken"), "Ready", "Invalid").await;
    until_reason(&api, &route_path("good"), "Programmed", "Programmed").await;
    until_reason(&api, &channel_path("web"), "Programmed", "Programmed").await;
    operator.stop().await;
    assert_eq!(
        api.get(&route_path("good")).expect("stored")["status"]["routes"],
        1
    );
    let status = &api.get(&channel_path("web")).expect("stored")["status"];
    assert_eq!(
        (&status["platform"], &status["path"]),
        (&json!("WebSocket"), &json!("/channels/web"))
    );
}

#[tokio::test]
async fn a_route_change_reaches_the_configuration_without_touching_the_pods() {
    let api = FakeApi::new();
    api.put(GATEWAY, gateway());
    api.put(&route_path("chat"), route("chat", "helpdesk", "^/old"));
    let operator = Operator::start(&api);
    until_reason(&api, &route_path("chat"), "Programmed", "Programmed").await;
    let before = api.get(CONFIG).expect("a configuration")["data"].clone();
    api.take_writes();
    api.edit(&route_path("chat"), |route| {
        route["spec"]["routes"][0]["pattern"] = json!("^/new");
        route["metadata"]["generation"] = json!(2);
    });
    until(&api, CONFIG, "changed", |config| config["data"] != before).await;
    until(&api, &route_path("chat"), "observed", |route| {
        route["status"]["observedGeneration"] == 2
    })
    .await;
    operator.stop().await;
    let writes = api.take_writes();
    assert_eq!(
        writes,
        [
            format!("PATCH {CONFIG}"),
            format!("PATCH {}/status", route_path("chat"))
        ]
    );
}

#[tokio::test]
async fn a_route_without_a_gateway_says_so_until_there_is_one() {
    let api = FakeApi::new();
    api.put(&route_path("chat"), route("chat", "helpdesk", "^/chat"));
    let operator = Operator::start(&api);
    let resolved = until_reason(&api, &route_path("chat"), "ResolvedRefs", "GatewayNotFound").await;
    assert!(
        resolved["message"]
            .as_str()
            .expect("text")
            .contains("\"helpdesk\"")
    );
    api.put(GATEWAY, gateway());
    until_reason(&api, &route_path("chat"), "Programmed", "Programmed").await;
    api.delete(GATEWAY);
    until_reason(&api, &route_path("chat"), "ResolvedRefs", "GatewayNotFound").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_route_that_moves_leaves_its_old_gateway() {
    let api = FakeApi::new();
    api.put(GATEWAY, gateway());
    api.put(&route_path("chat"), route("chat", "helpdesk", "^/chat"));
    let operator = Operator::start(&api);
    until_reason(&api, &route_path("chat"), "Programmed", "Programmed").await;
    let before = api.get(CONFIG).expect("a configuration")["data"].clone();
    api.edit(&route_path("chat"), |route| {
        route["spec"]["gatewayRef"]["name"] = json!("nowhere");
    });
    until_reason(&api, &route_path("chat"), "ResolvedRefs", "GatewayNotFound").await;
    until(&api, CONFIG, "without the route", |config| {
        config["data"] != before
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_route_that_cannot_be_read_is_told_and_stalls_nobody() {
    let api = FakeApi::new();
    api.put(GATEWAY, gateway());
    let mut odd = route("odd", "helpdesk", "^/odd");
    odd["spec"]["routes"] = json!("all of them");
    api.put(&route_path("odd"), odd);
    api.put(&route_path("good"), route("good", "helpdesk", "^/good"));
    let operator = Operator::start(&api);
    until_reason(&api, &route_path("odd"), "Accepted", "Invalid").await;
    until_reason(&api, &route_path("good"), "Programmed", "Programmed").await;
    operator.stop().await;
}

#[tokio::test]
async fn events_tell_what_is_notable_once() {
    let api = FakeApi::new();
    api.put(GATEWAY, gateway());
    api.put(&route_path("broken"), route("broken", "helpdesk", "^/("));
    let operator = Operator::start(&api);
    until_reason(&api, &route_path("broken"), "Accepted", "Invalid").await;
    operator.stop().await;
    let operator = Operator::start(&api);
    crate::harness::until_reconciled(&operator, 1).await;
    operator.stop().await;
    assert_eq!(api.events(), ["Invalid"]);
}
