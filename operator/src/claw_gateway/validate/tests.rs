//! What is judged, and what is built from it, against whole gateways.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{self, FULL, MINIMAL};

fn with_spec(yaml: &str, edit: impl FnOnce(&mut Value)) -> Dereferenced {
    let mut value = serde_json::to_value(fixtures::gateway(yaml)).expect("serializes");
    edit(&mut value["spec"]);
    let mut read = fixtures::read(yaml);
    read.gateway = serde_json::from_value(value).expect("a gateway");
    read
}

#[test]
fn a_sound_gateway_has_nothing_against_it() {
    for fixture in [MINIMAL, FULL] {
        let validated = fixtures::judged(&fixtures::read(fixture));
        assert_eq!(validated.verdict.first_bad(), None);
        assert!(validated.gateway.is_some());
        assert!(validated.certificate_expires > Some(fixtures::now()));
        assert!(validated.renew_at < validated.certificate_expires);
    }
}

#[test]
fn judging_again_issues_no_new_certificate() {
    let mut read = fixtures::read(MINIMAL);
    let first = fixtures::judged(&read).gateway.expect("valid");
    let issued = first.certificates.clone().expect("issued");
    read.certificates.store = pki::Store {
        ca: Some(issued.authority),
        leaf: Some(issued.leaf),
    };
    assert_eq!(fixtures::judged(&read).gateway, Some(first));
}

#[rstest]
#[case::no_such_amount(json!({"resources": {"cpu": "-1"}}), "spec.resources.cpu \"-1\"")]
#[case::no_storage(json!({"storage": {"size": "0"}}), "spec.storage.size \"0\"")]
#[case::no_host(json!({"tls": {"selfSigned": {"hosts": ["büro"]}}}), "spec.tls.selfSigned.hosts [\"büro\"]")]
#[case::two_models_of_one_name(
    json!({"models": [
        {"name": "parrot", "local": {"source": {"path": "/a"}}},
        {"name": "parrot", "local": {"source": {"path": "/b"}}},
    ]}),
    "spec.models[1].name \"parrot\""
)]
fn a_spec_that_cannot_work_builds_nothing_and_is_named(#[case] fields: Value, #[case] named: &str) {
    let read = with_spec(MINIMAL, |spec| {
        let fields = fields.as_object().expect("fields").clone();
        spec.as_object_mut().expect("a spec").extend(fields);
    });
    let validated = fixtures::judged(&read);
    assert_eq!(validated.gateway, None);
    let accepted = validated.verdict.accepted;
    assert_eq!(accepted.status, "False");
    assert!(accepted.message.starts_with(named), "{}", accepted.message);
    // The certificate that could not be issued is not told a second time as a missing one.
    assert_eq!(validated.verdict.resolved.status, "True");
}

#[test]
fn a_missing_credential_is_named_and_the_rest_is_built() {
    let mut read = fixtures::read(FULL);
    read.secrets = claw_crds::compile::Secrets::default();
    let validated = fixtures::judged(&read);
    assert!(validated.gateway.is_some());
    let resolved = validated.verdict.resolved;
    assert_eq!(
        (resolved.status, resolved.reason),
        ("False", "SecretNotFound")
    );
    assert!(
        resolved.message.contains("\"upstream\""),
        "{}",
        resolved.message
    );
}

#[test]
fn a_broken_route_is_judged_beside_good_ones() {
    let mut read = fixtures::read(MINIMAL);
    let rule = |pattern: &str, model: &str| json!({"pattern": pattern, "model": model});
    read.routes = vec![
        fixtures::route(
            "good",
            &json!([rule("^/a", "parrot"), rule("^/b", "parrot")]),
        ),
        fixtures::route("good-too", &json!([rule("^/c", "parrot")])),
        fixtures::route(
            "broken",
            &json!([rule("^/(", "parrot"), rule("^/d", "parrot")]),
        ),
        fixtures::route(
            "lost",
            &json!([rule("^/e", "nobody"), rule("^/f", "parrot")]),
        ),
    ];
    let routes = fixtures::judged(&read).routes;
    let told: Vec<_> = routes
        .iter()
        .map(|route| {
            let bad = route.verdict.first_bad().map(|finding| finding.reason);
            (
                route.object.metadata.name.as_deref().expect("a name"),
                route.served,
                bad,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("good", 2, None),
            ("good-too", 1, None),
            ("broken", 0, Some("Invalid")),
            ("lost", 1, Some("ModelNotFound")),
        ]
    );
}

#[test]
fn a_broken_channel_is_judged_beside_a_good_one() {
    let mut read = fixtures::read(MINIMAL);
    let spec = |model: &str| json!({"model": model, "webSocket": {}, "access": {"direct": "Open"}});
    read.channels = vec![
        fixtures::channel("good", &spec("parrot")),
        fixtures::channel("lost", &spec("nobody")),
    ];
    let channels = fixtures::judged(&read).channels;
    assert_eq!((channels[0].served, channels[1].served), (1, 0));
    assert_eq!(
        channels[1].verdict.resolved.reason,
        claw_crds::condition::reason::MODEL_NOT_FOUND
    );
}
