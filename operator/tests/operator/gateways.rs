//! Gateways: children, drift, faults.

use claw_crds::{GatewayConfig, gateway_config::AuthConfig, pki};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    fake_api::FakeApi,
    harness::{
        CONFIG, DEPLOYMENT, GATEWAY, Operator, UPSTREAM, until, until_reason, until_reconciled,
    },
};

const FULL: &str = include_str!("../fixtures/full.yaml");
const MINIMAL: &str = include_str!("../fixtures/minimal.yaml");

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

fn upstream() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "upstream", "namespace": "shop"},
        "data": {"api-key": "c2stdXBzdHJlYW0="},
    })
}

pub(crate) fn full() -> FakeApi {
    let api = FakeApi::new();
    api.put(UPSTREAM, upstream());
    api.put(GATEWAY, yaml(FULL));
    api
}

async fn programmed(api: &FakeApi) -> Operator {
    let operator = Operator::start(api);
    until_reason(api, GATEWAY, "Programmed", "Programmed").await;
    until_reason(api, GATEWAY, "ResolvedRefs", "ResolvedRefs").await;
    operator
}

/// The stored configuration.
fn config(api: &FakeApi) -> GatewayConfig {
    let secret: k8s_openapi::api::core::v1::Secret =
        serde_json::from_value(api.get(CONFIG).expect("a configuration")).expect("a Secret");
    let data = secret.data.expect("data");
    GatewayConfig::from_json(&data["config.json"].0).expect("a valid configuration")
}

#[tokio::test]
async fn a_gateway_gets_all_its_children_and_a_status() {
    let api = full();
    let operator = programmed(&api).await;
    operator.stop().await;
    let core = "/api/v1/namespaces/shop";
    for child in [
        &format!("{core}/serviceaccounts/helpdesk"),
        &format!("{core}/services/helpdesk"),
        &format!("{core}/secrets/helpdesk-ca"),
        &format!("{core}/secrets/helpdesk-tls"),
        CONFIG,
        DEPLOYMENT,
        "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/helpdesk",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/helpdesk",
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/helpdesk",
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/helpdesk",
        "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/helpdesk",
        "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/helpdesk",
        "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/helpdesk",
        "/apis/monitoring.coreos.com/v1/namespaces/shop/podmonitors/helpdesk",
        "/apis/monitoring.coreos.com/v1/namespaces/shop/prometheusrules/helpdesk",
        &format!("{core}/persistentvolumeclaims/helpdesk-state"),
        &format!("{core}/configmaps/helpdesk-dashboard"),
    ] {
        let owner = &api.get(child).expect(child)["metadata"]["ownerReferences"][0];
        assert_eq!(owner["kind"], "ClawGateway", "{child}");
    }
    assert_eq!(config(&api).models.len(), 2);
    let status = &api.get(GATEWAY).expect("the gateway")["status"];
    assert_eq!(status["endpoint"], "https://helpdesk.shop.svc:18789");
    assert_eq!(status["replicasSummary"], "0/2");
    assert_eq!(status["observedGeneration"], 3);
    assert!(status["certificateExpires"].is_string());
}

#[tokio::test]
async fn a_second_reconcile_writes_nothing() {
    let api = full();
    let operator = programmed(&api).await;
    let before = operator.reconciles();
    api.edit(GATEWAY, |gateway| {
        gateway["metadata"]["annotations"] = json!({"looked": "at"});
    });
    until_reconciled(&operator, before + 1).await;
    operator.stop().await;
    api.take_writes();
    let events = api.events();

    // Neither does a new process, which knows nothing of the first one.
    let operator = Operator::start(&api);
    until_reconciled(&operator, 1).await;
    operator.stop().await;
    assert_eq!(api.take_writes(), Vec::<String>::new());
    assert_eq!(api.events(), events);
}

#[tokio::test]
async fn a_fatal_fault_keeps_the_last_good_configuration_and_the_pods() {
    let api = full();
    let operator = programmed(&api).await;
    let good = (api.get(CONFIG), api.get(DEPLOYMENT));
    api.take_writes();
    api.edit(GATEWAY, |gateway| {
        gateway["metadata"]["generation"] = json!(4);
        let again = gateway["spec"]["models"][0].clone();
        gateway["spec"]["models"]
            .as_array_mut()
            .expect("models")
            .push(again);
        gateway["spec"]["size"] = json!("Small");
    });
    let accepted = until_reason(&api, GATEWAY, "Accepted", "Conflict").await;
    assert_eq!(accepted["observedGeneration"], 4);
    assert!(
        accepted["message"]
            .as_str()
            .expect("text")
            .contains("\"parrot\"")
    );
    until_reason(&api, GATEWAY, "Programmed", "Pending").await;
    until_reason(&api, GATEWAY, "Ready", "Conflict").await;
    operator.stop().await;
    assert_eq!((api.get(CONFIG), api.get(DEPLOYMENT)), good);
    assert!(
        api.take_writes()
            .iter()
            .all(|write| write.ends_with("/status"))
    );
}

#[tokio::test]
async fn a_gateway_that_never_was_right_gets_no_children() {
    let api = FakeApi::new();
    let mut gateway = yaml(MINIMAL);
    gateway["spec"]["tls"] = json!({"secretRef": {"name": "certificate"}});
    api.put(GATEWAY, gateway);
    let operator = Operator::start(&api);
    until_reason(&api, GATEWAY, "Programmed", "Pending").await;
    until_reason(&api, GATEWAY, "Ready", "SecretNotFound").await;
    operator.stop().await;
    assert_eq!(api.get(DEPLOYMENT), None);
    assert_eq!(api.get(CONFIG), None);
}

#[tokio::test]
async fn a_deleted_secret_shows_in_the_condition_and_so_does_its_return() {
    let api = full();
    let operator = programmed(&api).await;
    let pods = api.get(DEPLOYMENT);
    api.delete(UPSTREAM);
    let resolved = until_reason(&api, GATEWAY, "ResolvedRefs", "SecretNotFound").await;
    assert!(
        resolved["message"]
            .as_str()
            .expect("text")
            .contains("\"upstream\"")
    );
    // What does not need it goes on.
    until_reason(&api, GATEWAY, "Programmed", "Programmed").await;
    api.put(UPSTREAM, upstream());
    until_reason(&api, GATEWAY, "ResolvedRefs", "ResolvedRefs").await;
    operator.stop().await;
    assert_eq!(api.get(DEPLOYMENT), pods);
}

#[tokio::test]
async fn api_keys_come_and_go_with_the_label_of_their_secret() {
    let api = full();
    let operator = programmed(&api).await;
    let keys = |api: &FakeApi| serde_json::to_value(config(api).auth).expect("serializes");
    let before = api.get(CONFIG).expect("a configuration")["data"].clone();
    let path = "/api/v1/namespaces/shop/secrets/keys";
    api.put(
        path,
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "shop", "labels": {"purpose": "helpdesk-keys"}},
            "data": {"alice": "MDEyMzQ1Njc4OWFiY2RlZg=="},
        }),
    );
    until(&api, CONFIG, "with a key", |config| {
        config["data"] != before
    })
    .await;
    assert_eq!(keys(&api)["apiKeys"][0]["name"], "keys/alice");
    api.edit(path, |secret| secret["metadata"]["labels"] = json!({}));
    until(&api, CONFIG, "without keys", |config| {
        config["data"] == before
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn authorities_in_a_config_map_are_read_and_followed() {
    let path = "/api/v1/namespaces/shop/configmaps/callers";
    let map = |authority: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "callers", "namespace": "shop"},
            "data": {"ca.crt": authority},
        })
    };
    let authority = || {
        let issued = pki::issue(
            &pki::Store::default(),
            &["callers".into()],
            Timestamp::now(),
        );
        let ca = issued.expect("issued").ca.expect("an authority");
        ca.certificate_pem
    };
    let taken = |api: &FakeApi| {
        let certificates = config(api).identities.client_certificates;
        certificates.map(|certificates| certificates.authorities)
    };
    let api = full();
    api.edit(GATEWAY, |gateway| {
        gateway["spec"]["auth"]["clientCertificates"] =
            json!({"caCertificate": {"configMapKeyRef": {"name": "callers", "key": "ca.crt"}}});
    });
    let operator = Operator::start(&api);
    until_reason(&api, GATEWAY, "ResolvedRefs", "ConfigMapNotFound").await;
    for _ in 0..2 {
        let expected = authority();
        let before = api.get(CONFIG).map(|config| config["data"].clone());
        api.put(path, map(&expected));
        until(&api, CONFIG, "with the authority", |config| {
            Some(&config["data"]) != before.as_ref()
        })
        .await;
        assert_eq!(taken(&api), Some(expected));
        until_reason(&api, GATEWAY, "ResolvedRefs", "ResolvedRefs").await;
    }
    api.delete(path);
    until_reason(&api, GATEWAY, "ResolvedRefs", "ConfigMapNotFound").await;
    operator.stop().await;
}

/// A Secret that the fixture's selector takes, with one API key and some bytes of something else.
fn keys(number: usize, padding: usize) -> (String, Value) {
    let name = format!("keys-{number:02}");
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "shop", "labels": {"purpose": "helpdesk-keys"}},
        "data": {"alice": "MDEyMzQ1Njc4OWFiY2RlZg=="},
    });
    if padding > 0 {
        secret["data"]["junk"] = json!("AAAA".repeat(padding / 3));
    }
    (format!("/api/v1/namespaces/shop/secrets/{name}"), secret)
}

#[tokio::test]
async fn api_keys_of_many_secrets_are_all_read() {
    let api = full();
    for (path, secret) in (0..40).map(|number| keys(number, 0)) {
        api.put(&path, secret);
    }
    let operator = programmed(&api).await;
    operator.stop().await;
    let AuthConfig::ApiKeys(keys) = config(&api).auth else {
        unreachable!("the fixture has API keys")
    };
    assert_eq!(keys.len(), 40);
}

#[tokio::test]
async fn secrets_beyond_what_is_read_are_told_and_the_rest_serves() {
    let api = full();
    for (path, secret) in (0..40).map(|number| keys(number, 200_000)) {
        api.put(&path, secret);
    }
    let operator = Operator::start(&api);
    let accepted = until_reason(&api, GATEWAY, "Accepted", "Invalid").await;
    let message = accepted["message"].as_str().expect("text");
    assert!(message.contains("selects more Secrets"), "{message}");
    until_reason(&api, GATEWAY, "Programmed", "Programmed").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_deployment_that_lost_its_labels_keeps_its_number_of_pods() {
    let api = full();
    let operator = programmed(&api).await;
    api.edit(DEPLOYMENT, |deployment| {
        deployment["metadata"]["labels"] = json!({});
        deployment["spec"]["replicas"] = json!(7);
    });
    let labelled = |deployment: &Value| {
        let labels = &deployment["metadata"]["labels"];
        labels["app.kubernetes.io/managed-by"] == "claw-operator"
    };
    let deployment = until(&api, DEPLOYMENT, "labelled again", labelled).await;
    assert_eq!(deployment["spec"]["replicas"], 7);
    operator.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_asked_for_is_told() {
    let api = full();
    api.fail("/certificates/", 500);
    api.edit(GATEWAY, |gateway| {
        gateway["spec"]["tls"] = json!({"issuerRef": {"name": "corporate"}});
    });
    let operator = Operator::start(&api);
    let failed = until_reason(&api, GATEWAY, "Programmed", "ApplyFailed").await;
    let message = failed["message"].as_str().expect("text");
    assert!(message.contains("Certificate"), "{message}");
    assert_eq!(api.get(DEPLOYMENT), None);
    let status = &api.get(GATEWAY).expect("the gateway")["status"];
    assert!(status["certificateExpires"].is_null(), "{status}");
    operator.stop().await;
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_is_mended() {
    let api = full();
    let operator = programmed(&api).await;
    api.take_writes();
    let service = "/api/v1/namespaces/shop/services/helpdesk";
    api.delete(service);
    until(&api, service, "back", |_| true).await;
    api.edit(DEPLOYMENT, |deployment| {
        deployment["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil:1");
    });
    until(&api, DEPLOYMENT, "as built", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"]
            == "registry.example.com/bot:7-gpu"
    })
    .await;
    operator.stop().await;
    let writes = api.take_writes();
    assert_eq!(writes.len(), 2, "{writes:?}");
}

#[tokio::test]
async fn what_is_wanted_no_more_is_deleted() {
    let api = full();
    let operator = programmed(&api).await;
    api.edit(GATEWAY, |gateway| {
        let spec = gateway["spec"].as_object_mut().expect("a spec");
        spec.remove("autoscaling");
        spec.insert("tls".into(), json!({"disabled": {}}));
    });
    let plain = |gateway: &Value| gateway["status"]["endpoint"] == "http://helpdesk.shop.svc:18789";
    until(&api, GATEWAY, "plain HTTP", plain).await;
    operator.stop().await;
    for gone in [
        "/api/v1/namespaces/shop/secrets/helpdesk-ca",
        "/api/v1/namespaces/shop/secrets/helpdesk-tls",
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/helpdesk",
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/helpdesk",
    ] {
        assert_eq!(api.get(gone), None, "{gone}");
    }
    assert!(api.get(CONFIG).is_some());
    assert!(api.get(UPSTREAM).is_some());
}

#[tokio::test]
async fn a_failing_api_server_is_told_and_tried_again() {
    let api = full();
    api.fail("/deployments/", 500);
    let operator = Operator::start(&api);
    let failed = until_reason(&api, GATEWAY, "Programmed", "ApplyFailed").await;
    let message = failed["message"].as_str().expect("text");
    assert!(
        message.starts_with("failed to apply Deployment helpdesk: "),
        "{message}"
    );
    api.heal();
    until_reason(&api, GATEWAY, "Programmed", "Programmed").await;
    let text = operator.metrics.encode();
    assert!(
        text.contains(r#"claw_operator_reconcile_errors_total{kind="ClawGateway",reason="Apply"}"#),
        "{text}"
    );
    operator.stop().await;
}

#[tokio::test]
async fn somebody_elses_object_is_not_overwritten() {
    let api = full();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "helpdesk", "namespace": "shop"},
        "spec": {"selector": {"app": "phones"}},
    });
    let service = "/api/v1/namespaces/shop/services/helpdesk";
    api.put(service, theirs);
    let operator = Operator::start(&api);
    let failed = until_reason(&api, GATEWAY, "Programmed", "ApplyFailed").await;
    let message = failed["message"].as_str().expect("text");
    assert!(
        message.contains("Service helpdesk exists already"),
        "{message}"
    );
    operator.stop().await;
    let stored = api.get(service).expect("their Service");
    assert_eq!(stored["spec"]["selector"]["app"], "phones");
}

#[tokio::test]
async fn the_status_follows_the_pods() {
    let api = full();
    let operator = programmed(&api).await;
    until_reason(&api, GATEWAY, "Ready", "DeploymentNotReady").await;
    api.edit(DEPLOYMENT, |deployment| {
        deployment["status"] = json!({
            "replicas": 2, "readyReplicas": 2,
            "conditions": [{"type": "Available", "status": "True"}],
        });
    });
    until_reason(&api, GATEWAY, "Ready", "Ready").await;
    let status = &api.get(GATEWAY).expect("the gateway")["status"];
    assert_eq!(
        (&status["replicasSummary"], &status["readyReplicas"]),
        (&json!("2/2"), &json!(2))
    );
    operator.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_read_is_told_and_stalls_nobody() {
    let api = full();
    let broken = GATEWAY.replace("helpdesk", "odd");
    let mut gateway = yaml(MINIMAL);
    gateway["metadata"] = json!({"name": "odd", "namespace": "shop", "generation": 1});
    gateway["spec"]["models"] = json!("none");
    api.put(&broken, gateway);
    let operator = programmed(&api).await;
    let accepted = until_reason(&api, &broken, "Accepted", "Invalid").await;
    assert!(
        accepted["message"]
            .as_str()
            .expect("text")
            .contains("cannot read")
    );
    operator.stop().await;
}
