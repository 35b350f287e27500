//! Objects for tests, built through the real steps. Names differ from all defaults, so that swapped values show.

use claw_crds::{
    Channel, ClawGateway, ModelRoute,
    compile::{ConfigMaps, Secret, Secrets},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    claw_gateway::{
        certificates::Stored,
        dereference::Dereferenced,
        validate::{Validated, ValidatedGateway, validate},
    },
    environment::Environment,
    kinds::{KindSet, OptionalKind},
};

/// A gateway that says as little as possible.
pub(crate) const MINIMAL: &str = include_str!("../tests/fixtures/minimal.yaml");
/// A gateway that says everything.
pub(crate) const FULL: &str = include_str!("../tests/fixtures/full.yaml");

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("in range")
}

pub(crate) fn gateway(yaml: &str) -> ClawGateway {
    serde_yaml::from_str(yaml).expect("a gateway")
}

pub(crate) fn environment() -> Environment {
    Environment {
        image: "registry.example.com/bot:7".into(),
        cuda_image: "registry.example.com/bot:7-gpu".into(),
        image_pull_secrets: vec!["mirror".into()],
        runbook_base: crate::monitoring::RUNBOOK_BASE.into(),
    }
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> K {
    let mut spec = spec.clone();
    spec["gatewayRef"] = json!({"name": "helpdesk"});
    serde_json::from_value(json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "generation": 2},
        "spec": spec,
    }))
    .expect("an object")
}

pub(crate) fn route(name: &str, rules: &Value) -> ModelRoute {
    object("ModelRoute", name, &json!({"routes": rules}))
}

pub(crate) fn channel(name: &str, spec: &Value) -> Channel {
    object("Channel", name, spec)
}

pub(crate) fn secret(entries: &[(&str, &str)], labels: &[(&str, &str)]) -> Secret {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Secret {
        annotations: [].into(),
        labels: labels.iter().map(text).collect(),
        data: entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect(),
    }
}

/// Everything that the full gateway refers to.
pub(crate) fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("upstream", secret(&[("api-key", "sk-upstream")], &[]));
    secrets.insert(
        "keys",
        secret(
            &[("alice", "0123456789abcdef")],
            &[("purpose", "helpdesk-keys")],
        ),
    );
    secrets
}

pub(crate) fn read(yaml: &str) -> Dereferenced {
    Dereferenced {
        gateway: gateway(yaml),
        namespace: "shop".into(),
        routes: Vec::new(),
        channels: Vec::new(),
        secrets: secrets(),
        config_maps: ConfigMaps::default(),
        certificates: Stored::default(),
        deployment: None,
        claim: None,
        pods: Vec::new(),
        kinds: KindSet::default()
            .with(OptionalKind::PodMonitor)
            .with(OptionalKind::PrometheusRule)
            .with(OptionalKind::HttpRoute)
            .with(OptionalKind::Certificate),
        has_config: false,
    }
}

pub(crate) fn judged(read: &Dereferenced) -> Validated {
    validate(read, &environment(), now())
}

pub(crate) fn validated(yaml: &str) -> ValidatedGateway {
    let validated = judged(&read(yaml));
    validated.gateway.unwrap_or_else(|| {
        panic!(
            "the fixture has a fault: {:?}",
            validated.verdict.first_bad()
        );
    })
}
