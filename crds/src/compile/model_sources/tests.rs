use rstest::rstest;

use super::*;
use crate::{
    compile::{ConfigMaps, ProblemReason, Secret, Secrets},
    outbound::OutboundConfig,
};

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    let pull = r#"{"auths": {"registry.example": {"username": "me", "password": "s3cret"}}}"#;
    for (name, key, value) in [
        ("hub", "token", "s3cret"),
        ("pull", ".dockerconfigjson", pull),
    ] {
        let data = [(key.to_owned(), value.as_bytes().to_vec())].into();
        let secret = Secret {
            data,
            ..Secret::default()
        };
        secrets.insert(name, secret);
    }
    secrets
}

fn source(yaml: &str) -> ModelSource {
    serde_yaml::from_str(yaml).expect("a source")
}

fn compiled(yaml: &str) -> Result<SourceConfig, Problem> {
    let source = source(yaml);
    let gateway = ObjectRef {
        kind: "ClawGateway".to_owned(),
        name: "desk".to_owned(),
    };
    let found = Found {
        secrets: &secrets(),
        config_maps: &ConfigMaps::default(),
        outbound: &OutboundConfig::default(),
    };
    compile(&gateway, "source", &source, found)
}

#[test]
fn a_repository_of_the_hub_is_its_main_branch_unless_more_is_said() {
    let source = compiled(
        "huggingFace: {repo: team/model, files: ['*.gguf'], token: {secretKeyRef: {name: hub, key: token}}}",
    );
    let SourceConfig::HuggingFace(hub) = source.expect("valid") else {
        panic!("a repository")
    };
    assert_eq!(hub.endpoint, "https://huggingface.co");
    assert_eq!(hub.revision, "main");
    assert_eq!(hub.token.expect("a token").expose(), "s3cret");
}

#[rstest]
#[case("registry.example/a/b:1", "https://registry.example", "a/b", "1")]
#[case(
    "registry.example:5000/a",
    "https://registry.example:5000",
    "a",
    "latest"
)]
#[case(
    "docker.io/a/b:1@sha256:x",
    "https://registry-1.docker.io",
    "a/b",
    "sha256:x"
)]
fn a_reference_is_taken_apart(
    #[case] reference: &str,
    #[case] registry: &str,
    #[case] repository: &str,
    #[case] tag: &str,
) {
    let source = compiled(&format!("oci: {{reference: '{reference}'}}")).expect("valid");
    let SourceConfig::Oci(oci) = source else {
        panic!("an artifact")
    };
    assert_eq!(
        (
            oci.registry.as_str(),
            oci.repository.as_str(),
            oci.reference.as_str()
        ),
        (registry, repository, tag)
    );
}

#[test]
fn a_pull_secret_gives_user_and_password() {
    let source = compiled("oci: {reference: registry.example/m, pullSecret: {name: pull}}");
    let SourceConfig::Oci(oci) = source.expect("valid") else {
        panic!("an artifact")
    };
    let (user, password) = oci.credentials.expect("credentials");
    assert_eq!((user.expose(), password.expose()), ("me", "s3cret"));
}

#[test]
fn a_claim_is_a_path_where_pods_mount_it() {
    let whole = compiled("persistentVolumeClaim: {claimName: weights}").expect("valid");
    assert_eq!(whole, SourceConfig::Path("/mnt/models/weights".into()));
    let part = compiled("persistentVolumeClaim: {claimName: weights, path: a/b.gguf}");
    assert_eq!(
        part.expect("valid"),
        SourceConfig::Path("/mnt/models/weights/a/b.gguf".into())
    );
}

#[test]
fn a_bucket_at_amazon_is_part_of_the_host() {
    let source = compiled("s3: {bucket: models, prefix: a/b/}").expect("valid");
    let SourceConfig::S3(s3) = source else {
        panic!("a bucket")
    };
    assert_eq!(s3.objects, ObjectsConfig::Prefix("a/b".into()));
    assert_eq!(
        (s3.endpoint.as_str(), s3.path_style),
        ("https://s3.us-east-1.amazonaws.com/", false)
    );
}

#[rstest]
#[case::token(
    "huggingFace: {repo: a/b, files: [x], token: {secretKeyRef: {name: gone, key: k}}}",
    "source.huggingFace.token.secretKeyRef.name \"gone\""
)]
#[case::key(
    "s3: {bucket: abc, key: k, accessKeyId: {secretKeyRef: {name: hub, key: id}}, secretAccessKey: {secretKeyRef: {name: hub, key: token}}}",
    "source.s3.accessKeyId.secretKeyRef.key \"id\""
)]
#[case::pull_secret(
    "oci: {reference: other.example/m, pullSecret: {name: pull}}",
    "source.oci.pullSecret.name \"pull\""
)]
fn a_broken_reference_is_told_with_its_field(#[case] yaml: &str, #[case] expected: &str) {
    let problem = compiled(yaml).expect_err("refused");
    let told = problem.to_string();
    assert!(
        told.contains(expected) && !told.contains("s3cret"),
        "{told}"
    );
    assert!(matches!(
        problem.reason,
        ProblemReason::SecretNotFound | ProblemReason::InvalidSecret
    ));
}

#[rstest]
#[case::hub(
    "huggingFace: {repo: a/b, files: [x], endpoint: 'http://10.0.0.7'}",
    "huggingFace.endpoint"
)]
#[case::bucket(
    "s3: {bucket: abc, key: k, endpoint: 'http://10.0.0.7:9000'}",
    "s3.endpoint"
)]
#[case::registry(
    "oci: {reference: '10.0.0.7:5000/m', plainHttp: true}",
    "oci.reference"
)]
fn a_private_address_needs_leave(#[case] yaml: &str, #[case] field: &str) {
    let told = compiled(yaml).expect_err("refused").to_string();
    assert!(
        told.contains(field) && told.contains("spec.outbound.allowedCIDRs"),
        "{told}"
    );
}

#[test]
fn a_source_of_two_kinds_is_none() {
    let told = compiled("{path: /m, persistentVolumeClaim: {claimName: c}}");
    let told = told.expect_err("refused").to_string();
    assert!(told.contains("set exactly one of them"), "{told}");
}
