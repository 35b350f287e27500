//! Against a Deployment as a real API server (1.34) stored it, defaults, managed fields and all.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret, networking::v1::NetworkPolicy};
use serde_json::{Value, json};

use super::*;
use crate::{claw_gateway::build::build, fixtures};

fn live() -> Value {
    serde_json::from_str(include_str!("live_deployment.json")).expect("JSON")
}

/// What the operator built when the API server stored [`live`].
fn desired() -> Value {
    let mut gateway = fixtures::validated(fixtures::FULL);
    let uid = live()["metadata"]["ownerReferences"][0]["uid"].clone();
    gateway.owner.uid = uid.as_str().expect("a uid").to_owned();
    serde_json::to_value(build(&gateway).deployment).expect("serializes")
}

fn differs(desired: Value, live: Value) -> bool {
    let desired: Deployment = serde_json::from_value(desired).expect("a deployment");
    let live: Deployment = serde_json::from_value(live).expect("a deployment");
    needs_write(&desired, &live).expect("comparable")
}

fn container(object: &mut Value) -> &mut Value {
    &mut object["spec"]["template"]["spec"]["containers"][0]
}

fn edit(mut object: Value, edit: impl FnOnce(&mut Value)) -> Value {
    edit(&mut object);
    object
}

fn our_fields(live: &mut Value) -> &mut Value {
    &mut live["metadata"]["managedFields"][0]["fieldsV1"]
}

#[test]
fn what_was_applied_is_not_applied_again() {
    assert!(!differs(desired(), live()));
}

#[test]
fn what_is_kept_says_the_same() {
    let whole: Deployment = serde_json::from_value(live()).expect("a deployment");
    let mut kept = whole.clone();
    trim(&mut kept.metadata);
    let wanted: Deployment = serde_json::from_value(desired()).expect("a deployment");
    assert!(!needs_write(&wanted, &kept).expect("comparable"));
    for path in [&["spec", "replicas"][..], &["spec", "paused"]] {
        assert_eq!(owns(&kept, path), owns(&whole, path), "{path:?}");
    }
    assert_eq!(kept.metadata.managed_fields.expect("ours").len(), 1);
}

#[test]
fn defaults_and_spellings_of_the_api_server_are_no_difference() {
    // 1500m and 2048Mi were applied; the first stays as it is, the second is stored as 2Gi.
    let stored = &live()["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(stored["memory"], "2Gi");
    assert_eq!(
        container(&mut desired())["resources"]["requests"]["memory"],
        "2048Mi"
    );
}

#[test]
fn what_others_add_beside_ours_is_theirs() {
    let theirs = edit(live(), |live| {
        live["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "4"});
        live["metadata"]["labels"]["team"] = json!("chat");
        live["status"] = json!({"replicas": 2});
    });
    assert!(!differs(desired(), theirs));
}

#[test]
fn another_value_is_written() {
    let wanted = edit(desired(), |desired| {
        container(desired)["image"] = json!("registry.example.com/bot:8");
    });
    assert!(differs(wanted, live()));
    let wanted = edit(desired(), |desired| {
        container(desired)["args"]
            .as_array_mut()
            .expect("args")
            .pop();
    });
    assert!(differs(wanted, live()));
    let wanted = edit(desired(), |desired| {
        container(desired)["resources"]["requests"]["memory"] = json!("2049Mi");
    });
    assert!(differs(wanted, live()));
}

#[test]
fn somebody_elses_value_is_written_over() {
    let scaled = edit(live(), |live| live["spec"]["replicas"] = json!(7));
    assert!(differs(desired(), scaled));
    let exposed = edit(live(), |live| {
        container(live)["securityContext"]["readOnlyRootFilesystem"] = json!(false);
    });
    assert!(differs(desired(), exposed));
}

#[test]
fn a_field_that_somebody_took_over_is_taken_back() {
    let taken = edit(live(), |live| {
        our_fields(live)["f:spec"]["f:template"]["f:spec"]
            .as_object_mut()
            .expect("fields")
            .remove("f:nodeSelector");
    });
    assert!(differs(desired(), taken));
}

#[test]
fn a_field_that_we_no_longer_set_is_given_up() {
    let wanted = edit(desired(), |desired| {
        desired["spec"]["template"]["spec"]
            .as_object_mut()
            .expect("a spec")
            .remove("runtimeClassName");
    });
    assert!(differs(wanted, live()));
    let wanted = edit(desired(), |desired| {
        container(desired)["env"].as_array_mut().expect("env").pop();
    });
    assert!(differs(wanted, live()));
}

#[test]
fn a_new_item_of_a_list_is_written() {
    let wanted = edit(desired(), |desired| {
        let env = container(desired)["env"].as_array_mut().expect("env");
        env.push(json!({"name": "EXTRA", "value": "1"}));
    });
    assert!(differs(wanted, live()));
}

#[test]
fn what_others_add_within_a_whole_is_taken_out() {
    let live: NetworkPolicy = serde_json::from_value(json!({
        "metadata": {"managedFields": [{
            "manager": FIELD_MANAGER, "operation": "Apply",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:egress": {}, "f:podSelector": {}},
            },
        }], "labels": {"a": "b"}},
        "spec": {"podSelector": {}, "egress": [{
            "ports": [{"port": 443, "protocol": "TCP"}],
            "to": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
        }]},
    }))
    .expect("a policy");
    let wanted = |rule: Value| -> NetworkPolicy {
        let spec = json!({"podSelector": {}, "egress": [rule]});
        serde_json::from_value(json!({"metadata": {"labels": {"a": "b"}}, "spec": spec}))
            .expect("a policy")
    };
    let to = json!([{"namespaceSelector": {"matchLabels": {"a": "b"}}}]);
    let same = wanted(json!({"ports": [{"port": 443}], "to": to}));
    assert!(!needs_write(&same, &live).expect("comparable"));
    // Without the peers, the rule means everybody.
    let all = wanted(json!({"ports": [{"port": 443}]}));
    assert!(needs_write(&all, &live).expect("comparable"));
}

#[test]
fn an_object_that_we_never_applied_is_written() {
    let foreign = edit(live(), |live| {
        live["metadata"]["managedFields"][0]["manager"] = json!("kubectl");
    });
    assert!(differs(desired(), foreign));
    let bare = edit(live(), |live| {
        live["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove("managedFields");
    });
    assert!(differs(desired(), bare));
}

#[test]
fn fields_of_the_status_do_not_count_as_ours() {
    let status_only = edit(live(), |live| {
        live["metadata"]["managedFields"][0]["subresource"] = json!("status");
    });
    assert!(differs(desired(), status_only));
}

#[test]
fn owned_fields_are_found_by_path() {
    let live: Deployment = serde_json::from_value(live()).expect("a deployment");
    assert!(owns(&live, &["spec", "replicas"]));
    assert!(!owns(&live, &["spec", "paused"]));
}

#[test]
fn a_set_is_compared_by_its_values() {
    let live: Secret = serde_json::from_value(json!({"metadata": {
        "finalizers": ["a/b", "theirs/x"],
        "managedFields": [{
            "manager": FIELD_MANAGER, "operation": "Apply",
            "fieldsV1": {"f:metadata": {"f:finalizers": {"v:\"a/b\"": {}}}},
        }],
    }}))
    .expect("a secret");
    let desired = |finalizers: Value| -> Secret {
        serde_json::from_value(json!({"metadata": {"finalizers": finalizers}})).expect("a secret")
    };
    assert!(!needs_write(&desired(json!(["a/b"])), &live).expect("comparable"));
    assert!(needs_write(&desired(json!(["a/b", "c/d"])), &live).expect("comparable"));
}
