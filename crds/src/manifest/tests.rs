use rstest::rstest;

use super::*;

const GATEWAY: &str = "
apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {name: helpdesk}
spec:
  models:
  - name: tiny
    local: {source: {path: /models/tiny}}
  auth: {anonymous: {}}
";

fn file(text: &str) -> Vec<ManifestFile> {
    vec![ManifestFile {
        name: "desk.yaml".into(),
        text: text.into(),
    }]
}

fn only_fault(text: &str) -> String {
    let (_, faults) = parse(&file(text));
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults[0].to_string()
}

#[test]
fn a_gateway_with_defaults_is_read() {
    let (manifests, faults) = parse(&file(GATEWAY));
    assert_eq!(faults, []);
    let selection = manifests.select(None).expect("one gateway");
    assert!(selection.gateway.spec.tls.self_signed.is_some());
}

#[rstest]
#[case::unknown_field(
    "auth: {anonymous: {}}",
    "auth: {anonymous: {}}\n  modells: []",
    "modells"
)]
#[case::unknown_nested_field(
    "path: /models/tiny",
    "path: /models/tiny, paht: x",
    "spec.models[0].local.source: "
)]
#[case::bad_enum("models:", "size: Huge\n  models:", "spec.size")]
#[case::missing_field("auth: {anonymous: {}}", "replicas: 1", "\"auth\"")]
#[case::cel_rule(
    "auth: {anonymous: {}}",
    "auth: {}",
    "set anonymous alone, or at least one of apiKeys, jwt, introspection and clientCertificates"
)]
#[case::nested_cel_rule("{path: /models/tiny}", "{}", "spec.models[0].local.source")]
#[case::bound("models:", "replicas: -1\n  models:", "spec.replicas")]
#[case::name("name: helpdesk", "name: 1st", "starting with a letter")]
fn a_wrong_gateway_is_refused_with_its_field(
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    let fault = only_fault(&GATEWAY.replace(from, to));
    assert!(
        fault.contains(expected) && fault.starts_with("desk.yaml (document 1): ClawGateway/"),
        "{fault}"
    );
}

#[rstest]
#[case::plain_key(
    r#"credentials: "sk-s3cret""#,
    "credentials: value is not of type \"object\""
)]
#[case::query(
    "baseURL: ftp://api.test/v1?key=s3cret",
    "baseURL: value does not match"
)]
#[case::user("baseURL: ftp://me:s3cret@api.test", "baseURL: value does not match")]
fn a_value_that_may_be_secret_is_not_repeated(#[case] field: &str, #[case] expected: &str) {
    let remote = format!("remote: {{provider: OpenAI, {field}}}");
    let fault = only_fault(&GATEWAY.replace("local: {source: {path: /models/tiny}}", &remote));
    assert!(
        fault.contains(expected) && !fault.contains("s3cret"),
        "{fault}"
    );
}

#[test]
fn what_is_wrong_in_one_document_leaves_the_others_alone() {
    let text = format!(
        "{GATEWAY}---\napiVersion: claw.dev/v1alpha1\nkind: Chanel\nmetadata: {{name: x}}\n"
    );
    let (manifests, faults) = parse(&file(&text));
    assert!(manifests.select(None).is_ok());
    assert!(faults[0].to_string().contains("Chanel"), "{}", faults[0]);
}

#[test]
fn broken_yaml_is_named_with_its_place() {
    let fault = only_fault("kind: [unclosed");
    assert!(
        fault.contains("not valid YAML") && fault.contains("line"),
        "{fault}"
    );
}

#[test]
fn a_broken_secret_is_refused_without_its_value() {
    let fault = only_fault(
        "{apiVersion: v1, kind: Secret, metadata: {name: keys}, data: {key: \"hunter2!\"}}",
    );
    assert!(
        fault.contains("Secret/keys") && !fault.contains("hunter2"),
        "{fault}"
    );
}

#[test]
fn config_maps_are_read() {
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: callers}, data: {ca.crt: PEM}}";
    let (manifests, faults) = parse(&file(&format!("{GATEWAY}---\n{map}\n")));
    assert_eq!(faults, []);
    let selection = manifests.select(None).expect("one gateway");
    assert_ne!(selection.config_maps, ConfigMaps::default());
    let fault = only_fault(&map.replace("PEM", "{not: text}"));
    assert!(fault.contains("ConfigMap/callers"), "{fault}");
}

#[test]
fn foreign_kinds_may_lie_beside_ours() {
    assert_eq!(
        parse(&file(
            "{apiVersion: v1, kind: Namespace, metadata: {name: x}}"
        ))
        .1,
        []
    );
}

#[test]
fn one_of_several_gateways_must_be_named() {
    let text = format!("{GATEWAY}---{}", GATEWAY.replace("helpdesk", "sales"));
    let (manifests, _) = parse(&file(&text));
    assert!(matches!(
        manifests.select(None),
        Err(SelectionError::SeveralGateways { .. })
    ));
    assert!(manifests.select(Some("sales")).is_ok());
    let error = manifests.select(Some("sails")).expect_err("unknown");
    assert!(error.to_string().contains("helpdesk, sales"), "{error}");
}

#[test]
fn a_route_to_a_missing_gateway_is_an_orphan() {
    let text = format!(
        "{GATEWAY}---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {{name: lost}}
spec: {{gatewayRef: {{name: nowhere}}, routes: [{{pattern: ^/, model: tiny}}]}}
"
    );
    let selection = parse(&file(&text)).0.select(None).expect("one gateway");
    assert_eq!(selection.routes.len(), 0);
    assert!(
        selection.orphans[0].contains("ModelRoute/lost"),
        "{:?}",
        selection.orphans
    );
}
