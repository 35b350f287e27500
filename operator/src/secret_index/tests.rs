use serde_json::json;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn usage(names: &[&str], selector: Option<serde_json::Value>) -> Usage {
    Usage {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        config_maps: BTreeSet::new(),
        selector: selector.map(|value| serde_json::from_value(value).expect("a selector")),
    }
}

fn index() -> SecretIndex {
    let mut index = SecretIndex::default();
    index.record("shop", "desk", usage(&["token"], None));
    let keys = json!({"matchLabels": {"purpose": "keys"}});
    index.record("shop", "phone", usage(&["token"], Some(keys)));
    index
}

#[test]
fn a_secret_concerns_those_that_name_it() {
    assert_eq!(
        index().touched("shop", "token", &labels(&[])),
        ["desk", "phone"]
    );
    assert!(index().touched("shop", "other", &labels(&[])).is_empty());
    assert!(index().touched("office", "token", &labels(&[])).is_empty());
}

#[test]
fn a_secret_concerns_those_that_select_it() {
    let mut index = index();
    assert_eq!(
        index.touched("shop", "k", &labels(&[("purpose", "keys")])),
        ["phone"]
    );
}

#[test]
fn what_the_operator_made_concerns_only_those_that_name_it() {
    let mut index = index();
    let made = labels(&[
        ("purpose", "keys"),
        ("app.kubernetes.io/managed-by", "claw-operator"),
    ]);
    assert!(index.touched("shop", "k", &made).is_empty());
    assert_eq!(index.touched("shop", "token", &made), ["desk", "phone"]);
    // Somebody took it for their own: its key counts from then on, and no more when it is ours again.
    assert_eq!(
        index.touched("shop", "k", &labels(&[("purpose", "keys")])),
        ["phone"]
    );
    assert_eq!(index.touched("shop", "k", &made), ["phone"]);
    assert!(index.touched("shop", "k", &made).is_empty());
}

#[test]
fn taking_the_label_off_is_a_change_for_those_that_selected_it() {
    let mut index = index();
    index.touched("shop", "k", &labels(&[("purpose", "keys")]));
    assert_eq!(index.touched("shop", "k", &labels(&[])), ["phone"]);
    assert!(index.touched("shop", "k", &labels(&[])).is_empty());
}

#[test]
fn a_deleted_secret_concerns_its_readers_and_is_forgotten() {
    let mut index = index();
    index.touched("shop", "k", &labels(&[("purpose", "keys")]));
    assert_eq!(
        index.deleted("shop", "k", &labels(&[("purpose", "keys")])),
        ["phone"]
    );
    assert!(index.touched("shop", "k", &labels(&[])).is_empty());
    assert_eq!(
        index.deleted("shop", "token", &labels(&[])),
        ["desk", "phone"]
    );
}

#[test]
fn a_gateway_that_is_gone_reads_nothing() {
    let mut index = index();
    index.forget("shop", "desk");
    let left: Vec<_> = index.gateways().map(|(_, name)| name.as_str()).collect();
    assert_eq!(left, ["phone"]);
    assert_eq!(index.touched("shop", "token", &labels(&[])), ["phone"]);
}

#[test]
fn an_empty_or_invalid_selector_selects_nothing() {
    let mut index = SecretIndex::default();
    index.record("shop", "desk", usage(&[], Some(json!({}))));
    let nonsense = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    index.record("shop", "phone", usage(&[], Some(nonsense)));
    assert!(
        index
            .touched("shop", "k", &labels(&[("a", "b")]))
            .is_empty()
    );
}

#[test]
fn everything_that_gateway_and_channels_refer_to_is_read() {
    let gateway = crate::fixtures::gateway(crate::fixtures::FULL);
    let telegram = crate::fixtures::channel(
        "bot",
        &json!({
            "model": "parrot",
            "telegram": {
                "botToken": {"secretKeyRef": {"name": "bot", "key": "token"}},
                "webhookSecret": {"secretKeyRef": {"name": "hook", "key": "secret"}},
            },
            "access": {"direct": "Open"},
        }),
    );
    let usage = Usage::of(&gateway, [&telegram]);
    assert_eq!(
        usage.names.into_iter().collect::<Vec<_>>(),
        ["bot", "hook", "upstream"]
    );
    assert!(usage.selector.is_some());
    let mut own_certificate = gateway;
    own_certificate.spec.tls =
        serde_json::from_value(json!({"secretRef": {"name": "cert"}})).expect("tls");
    assert!(Usage::of(&own_certificate, []).names.contains("cert"));
    let mut stateful = own_certificate;
    stateful.spec.state = serde_json::from_value(json!({
        "postgres": {"secretKeyRef": {"name": "database", "key": "url"}},
        "encryption": {"keys": [
            {"secretKeyRef": {"name": "new-key", "key": "key"}},
            {"secretKeyRef": {"name": "old-key", "key": "key"}},
        ]},
    }))
    .expect("a state");
    let names = Usage::of(&stateful, []).names;
    for name in ["database", "new-key", "old-key"] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn credentials_of_model_sources_are_read() {
    let mut gateway = crate::fixtures::gateway(crate::fixtures::MINIMAL);
    let at = |name: &str| json!({"secretKeyRef": {"name": name, "key": "k"}});
    gateway.spec.models = serde_json::from_value(json!([
        {"name": "a", "local": {"source": {"huggingFace": {"repo": "a/b", "files": ["*"], "token": at("hub")}}}},
        {"name": "b", "local": {"source": {"s3": {
            "bucket": "abc", "key": "k", "accessKeyId": at("id"), "secretAccessKey": at("key")}}}},
        {"name": "c", "local": {"source": {"oci": {"reference": "r/m", "pullSecret": {"name": "pull"}}}}},
    ]))
    .expect("models");
    let names = Usage::of(&gateway, []).names;
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["hub", "id", "key", "pull"]
    );
}

#[test]
fn a_config_map_concerns_those_that_name_it() {
    let mut gateway = crate::fixtures::gateway(crate::fixtures::FULL);
    gateway.spec.auth = serde_json::from_value(json!({"clientCertificates": {
        "caCertificate": {"configMapKeyRef": {"name": "callers", "key": "ca.crt"}},
        "revocationLists": [
            {"configMapKeyRef": {"name": "revoked", "key": "ca.crl"}},
            {"secretKeyRef": {"name": "more-revoked", "key": "ca.crl"}},
        ],
    }}))
    .expect("auth");
    let usage = Usage::of(&gateway, []);
    assert!(!usage.names.contains("callers"), "it is no Secret");
    assert!(usage.names.contains("more-revoked"));
    let mut index = index();
    index.record("shop", "bell", usage);
    assert_eq!(index.config_map_touched("shop", "callers"), ["bell"]);
    assert_eq!(index.config_map_touched("shop", "revoked"), ["bell"]);
    assert!(index.config_map_touched("shop", "token").is_empty());
    assert!(index.config_map_touched("office", "callers").is_empty());
}
