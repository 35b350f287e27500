//! Every child, whole, of a gateway that says little and of one that says everything.

use claw_crds::{compile::Secrets, gateway_config::GatewayConfig};
use insta::assert_yaml_snapshot;
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{self, FULL, MINIMAL};

/// Keys and certificates are random; their presence is what a snapshot can show.
fn without_data(secret: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(secret).expect("serializes");
    let data = value["data"].as_object_mut().expect("data");
    for entry in data.values_mut() {
        *entry = json!("[redacted]");
    }
    value
}

macro_rules! whole {
    ($fixture:ident: $($child:ident),*) => {{
        let resources = build(&fixtures::validated($fixture));
        $(
            assert_yaml_snapshot!(
                format!("{}_{}", stringify!($fixture).to_lowercase(), stringify!($child)),
                resources.$child
            );
        )*
        resources
    }};
}

#[test]
fn a_minimal_gateway_has_these_children() {
    let resources = whole!(
        MINIMAL: service_account, role, role_binding, service, network_policy, volume_claim, deployment, autoscaler,
        disruption_budget, http_route, ingress, pod_monitor, prometheus_rule
    );
    assert_yaml_snapshot!("minimal_config", without_data(&resources.config));
    assert_yaml_snapshot!("minimal_ca", without_data(&resources.ca));
    assert_yaml_snapshot!("minimal_tls", without_data(&resources.tls));
}

#[test]
fn a_full_gateway_has_these_children() {
    let resources = whole!(
        FULL: service_account, role, role_binding, service, network_policy, volume_claim, deployment, autoscaler,
        disruption_budget, http_route, ingress, pod_monitor, prometheus_rule
    );
    assert_yaml_snapshot!("full_config", without_data(&resources.config));
    assert_yaml_snapshot!(
        "full_dashboard",
        with_parsed_files(&resources.dashboard.expect("one"))
    );
}

/// Files of JSON as what they hold, so that a change of one line shows as such.
fn with_parsed_files(map: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(map).expect("serializes");
    let data = value["data"].as_object_mut().expect("data");
    for file in data.values_mut() {
        let text = file.as_str().expect("text");
        *file = serde_json::from_str(text).expect("JSON");
    }
    value
}

fn edited(yaml: &str, edit: impl FnOnce(&mut Value)) -> ValidatedGateway {
    let mut value = serde_json::to_value(fixtures::gateway(yaml)).expect("serializes");
    edit(&mut value["spec"]);
    let mut read = fixtures::read(yaml);
    read.gateway = serde_json::from_value(value).expect("a gateway");
    fixtures::judged(&read).gateway.expect("valid")
}

#[test]
fn the_pods_do_not_change_with_routes_channels_and_secrets() {
    let before = build(&fixtures::validated(FULL));
    let mut read = fixtures::read(FULL);
    read.routes = vec![fixtures::route(
        "chat",
        &json!([{"pattern": "^/chat", "model": "parrot"}]),
    )];
    read.channels = vec![fixtures::channel(
        "web",
        &json!({"model": "parrot", "webSocket": {}, "access": {"direct": "Open"}}),
    )];
    read.secrets = Secrets::default();
    let after = build(&fixtures::judged(&read).gateway.expect("valid"));
    assert_ne!(before.config, after.config);
    assert_eq!(before.deployment, after.deployment);
    assert_eq!(before.service, after.service);
}

#[test]
fn the_stored_configuration_is_what_a_gateway_reads() {
    let resources = build(&fixtures::validated(FULL));
    let data = resources.config.data.expect("data");
    let config = GatewayConfig::from_json(&data["config.json"].0).expect("parses");
    assert_eq!(config.gateway.name, "helpdesk");
    assert_eq!(config.models.len(), 2);
}

#[test]
fn without_tls_there_is_no_certificate_and_the_service_says_http() {
    let resources = build(&edited(MINIMAL, |spec| {
        spec["tls"] = json!({"disabled": {}});
    }));
    assert_eq!((resources.ca, resources.tls), (None, None));
    let ports = resources
        .service
        .spec
        .expect("a spec")
        .ports
        .expect("ports");
    assert_eq!(ports[0].app_protocol.as_deref(), Some("http"));
}

#[test]
fn one_replica_needs_no_budget_and_two_do() {
    let budget = |replicas: i32| {
        build(&edited(MINIMAL, |spec| spec["replicas"] = json!(replicas))).disruption_budget
    };
    assert_eq!(budget(0), None);
    assert_eq!(budget(1), None);
    assert!(budget(2).is_some());
}

#[test]
fn a_claim_for_one_pod_is_kept_and_never_used_by_two() {
    let resources = build(&edited(MINIMAL, |spec| {
        spec["storage"] = json!({"persistentVolumeClaim": {}});
    }));
    let claim = resources.volume_claim.expect("one");
    assert_eq!(claim.metadata.owner_references, None);
    let spec = resources.deployment.spec.expect("a spec");
    assert_eq!(
        spec.strategy.expect("set").type_.as_deref(),
        Some("Recreate")
    );
    let volumes = spec.template.spec.expect("a pod").volumes.expect("some");
    let claimed = volumes[0]
        .persistent_volume_claim
        .as_ref()
        .expect("the claim");
    assert_eq!(Some(&claimed.claim_name), claim.metadata.name.as_ref());
}

#[test]
fn the_network_lets_through_what_urls_name() {
    let resources = build(&edited(MINIMAL, |spec| {
        let remote = |name: &str, url: &str| json!({"name": name, "remote": {"provider": "OpenAI", "baseURL": url}});
        spec["models"] = json!([
            remote("public", "https://api.example.com/v1"),
            remote("other-port", "http://api.example.org:8443/v1"),
            remote("private", "http://10.1.2.3:11434/v1"),
            remote("beside", "http://vllm:8000/v1"),
            remote("elsewhere", "http://vllm.models.svc/v1"),
        ]);
    }));
    assert_yaml_snapshot!(
        "network_policy_of_urls",
        resources
            .network_policy
            .expect("one")
            .spec
            .expect("a spec")
            .egress
    );
}

#[test]
fn the_network_lets_through_where_models_come_from() {
    let resources = build(&edited(MINIMAL, |spec| {
        let local = |name: &str, source: Value| json!({"name": name, "local": {"source": source}});
        spec["models"] = json!([
            local(
                "hub",
                json!({"huggingFace": {"repo": "a/b", "files": ["*"], "endpoint": "http://mirror:8080"}})
            ),
            local(
                "bucket",
                json!({"s3": {"bucket": "abc", "key": "k", "endpoint": "http://minio.storage.svc:9000"}})
            ),
            local(
                "registry",
                json!({"oci": {"reference": "10.1.2.3:5000/m", "plainHttp": true}})
            ),
        ]);
    }));
    let policy = resources.network_policy.expect("one").spec;
    let egress = json!(policy.expect("a spec").egress);
    let told = egress.to_string();
    for host in ["10.1.2.3/32", "\"shop\"", "\"storage\""] {
        assert!(told.contains(host), "{host} is missing in {told}");
    }
}

#[test]
fn claims_with_models_are_mounted_read_only_and_once() {
    let resources = build(&edited(MINIMAL, |spec| {
        let local = |name: &str, path: &str| {
            let claim = json!({"claimName": "weights", "path": path});
            json!({"name": name, "local": {"source": {"persistentVolumeClaim": claim}}})
        };
        spec["models"] = json!([local("one", "a.gguf"), local("two", "b.gguf")]);
    }));
    let deployment = json!(resources.deployment);
    let pod = &deployment["spec"]["template"]["spec"];
    let volume = json!({
        "name": "models-0", "persistentVolumeClaim": {"claimName": "weights", "readOnly": true},
    });
    assert_eq!(pod["volumes"].as_array().expect("a list")[2..], [volume]);
    let mount = json!({"name": "models-0", "mountPath": "/mnt/models/weights", "readOnly": true});
    assert_eq!(pod["containers"][0]["volumeMounts"][2], mount);
}

#[test]
fn a_dashboard_is_a_file_that_grafana_finds() {
    let resources = build(&fixtures::validated(FULL));
    let dashboard = resources.dashboard.expect("one");
    let labels = dashboard.metadata.labels.expect("labels");
    assert_eq!(labels["grafana_dashboard"], "1");
    assert_eq!(labels["folder"], "chat");
    let (file, text) = dashboard.data.expect("data").pop_first().expect("a file");
    assert_eq!(file, "claw-gateway-shop-helpdesk.json");
    let read: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        read["panels"]
            .as_array()
            .is_some_and(|panels| !panels.is_empty())
    );
    assert_eq!(build(&fixtures::validated(MINIMAL)).dashboard, None);
}

#[test]
fn cert_manager_is_asked_for_names_and_addresses() {
    let mut value = serde_json::to_value(fixtures::gateway(MINIMAL)).expect("serializes");
    let hosts = json!(["chat.example.com", "10.1.2.3"]);
    value["spec"]["tls"] =
        json!({"issuerRef": {"name": "public", "kind": "ClusterIssuer", "hosts": hosts}});
    let mut read = fixtures::read(MINIMAL);
    read.gateway = serde_json::from_value(value).expect("a gateway");
    let judged = fixtures::judged(&read);
    assert_eq!(judged.gateway, None, "nothing to build before it is issued");
    assert_yaml_snapshot!(certificate::build(&judged.issuance.expect("asked for")));
}

#[test]
fn what_the_cluster_does_not_have_is_not_built() {
    let mut read = fixtures::read(FULL);
    read.kinds = crate::kinds::KindSet::default();
    let judged = fixtures::judged(&read);
    assert_eq!(judged.verdict.resolved.reason, "KindNotFound");
    let resources = build(&judged.gateway.expect("the rest is built"));
    assert_eq!(resources.http_route, None);
    assert_eq!(resources.pod_monitor, None);
    assert_eq!(resources.prometheus_rule, None);
    assert!(resources.ingress.is_some(), "every cluster has that kind");
}

#[test]
fn there_is_no_policy_where_none_is_wanted() {
    let resources = build(&edited(MINIMAL, |spec| {
        spec["networkPolicy"] = json!({"enabled": false});
    }));
    assert_eq!(resources.network_policy, None);
}

#[test]
fn a_long_window_keeps_within_the_bounds_of_the_api() {
    for (window, period) in [(0, 15), (600, 600), (3600, 1800)] {
        let gateway = edited(FULL, |spec| {
            spec["autoscaling"]["windowSeconds"] = json!(window);
        });
        let spec = build(&gateway)
            .autoscaler
            .expect("one")
            .spec
            .expect("a spec");
        let up = spec.behavior.expect("set").scale_up.expect("set");
        assert_eq!(up.stabilization_window_seconds, Some(window));
        assert_eq!(up.policies.expect("one")[0].period_seconds, period);
    }
}

/// The API server drops empty lists and maps, so that setting one would look like drift for ever.
#[test]
fn no_child_sets_an_empty_list_or_map() {
    fn check(path: &str, value: &Value) {
        match value {
            Value::Array(items) => {
                assert!(!items.is_empty(), "{path} is empty");
                for item in items {
                    check(&format!("{path}[]"), item);
                }
            }
            Value::Object(fields) => {
                assert!(
                    !fields.is_empty()
                        || path.ends_with("emptyDir")
                        || path.ends_with("namespaceSelector"),
                    "{path} is empty"
                );
                for (name, value) in fields {
                    check(&format!("{path}.{name}"), value);
                }
            }
            _ => {}
        }
    }
    for fixture in [MINIMAL, FULL] {
        let resources = build(&fixtures::validated(fixture));
        for child in [
            serde_json::to_value(&resources.service_account),
            serde_json::to_value(&resources.role),
            serde_json::to_value(&resources.role_binding),
            serde_json::to_value(&resources.ca),
            serde_json::to_value(&resources.tls),
            serde_json::to_value(&resources.config),
            serde_json::to_value(&resources.service),
            serde_json::to_value(&resources.network_policy),
            serde_json::to_value(&resources.volume_claim),
            serde_json::to_value(&resources.deployment),
            serde_json::to_value(&resources.autoscaler),
            serde_json::to_value(&resources.disruption_budget),
            serde_json::to_value(&resources.http_route),
            serde_json::to_value(&resources.ingress),
            serde_json::to_value(&resources.pod_monitor),
            serde_json::to_value(&resources.prometheus_rule),
            serde_json::to_value(&resources.dashboard),
        ] {
            check("", &child.expect("serializes"));
        }
    }
}
