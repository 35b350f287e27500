//! Bad flags and configurations end the program with code 64 and a clear message, before a port is open.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rstest::rstest;

use crate::binary::command;

/// Code and standard error of a run that fails to start; `{dir}` is its folder.
async fn run(folder: &Path, arguments: &str, key: Option<&str>) -> (Option<i32>, String) {
    let mut command = command(folder);
    for argument in arguments.split_whitespace() {
        command.arg(argument.replace("{dir}", &folder.display().to_string()));
    }
    if let Some(key) = key {
        command.env("CLAWDBOT_API_KEY", key);
    }
    let run = tokio::time::timeout(std::time::Duration::from_secs(30), command.output());
    let output = run.await.expect("ends in time").expect("runs");
    (
        output.status.code(),
        String::from_utf8(output.stderr).expect("UTF-8"),
    )
}

const MODEL: &str = "--model a=http://127.0.0.1:9/v1";

#[rstest]
#[case::nothing_to_serve("", "--manifests")]
#[case::two_sources("--config x --manifests y", "cannot be used with")]
#[case::unknown_flag("--prot 1", "--prot")]
#[case::port_too_large("--port 70000 --config x", "70000")]
#[case::zero_rate("--rate-limit 0 --config x", "--rate-limit")]
#[case::certificate_without_key("--tls-cert x --config y", "--tls-key")]
#[case::routes_with_config("--routes x --config y", "--routes")]
#[case::model_without_target("--model tiny", "NAME=PATH_OR_URL")]
#[case::model_of_strange_scheme("--model a=ftp://x/v1", "http(s)")]
#[case::anonymous_with_key("--allow-anonymous {model}", "CLAWDBOT_API_KEY")]
#[case::one_port_for_both("--port 18790 {model}", "--management-port 18790")]
#[case::missing_config("--config {dir}/none.json", "none.json: cannot be read")]
#[case::missing_manifests("--manifests {dir}/none", "none cannot be read")]
#[case::no_gateway("--manifests {dir}/empty", "no ClawGateway")]
#[case::missing_certificate(
    "--tls-cert {dir}/none --tls-key {dir}/none {model}",
    "--tls-cert {dir}/none: cannot be read"
)]
#[case::foreign_key(
    "--tls-cert {dir}/a.crt --tls-key {dir}/b.key {model}",
    "tls: the private key does not belong to the certificate"
)]
#[case::broken_pattern(
    "--routes {dir}/pattern.yaml {model}",
    "routes[0].pattern \"(\": not a valid"
)]
#[case::unknown_route_field(
    "--routes {dir}/field.yaml {model}",
    "routes[0]: Additional properties are not allowed ('modle'"
)]
#[case::unknown_route_model(
    "--routes {dir}/model.yaml {model}",
    "routes[0].model \"b\": the gateway has no model of that name"
)]
#[case::duplicate_models("{model} {model}", "the name \"a\" is used twice")]
#[case::newer_config("--config {dir}/newer.json", "schemaVersion 9")]
#[case::config_that_is_no_json("--config {dir}/pattern.yaml", "line 1 column 1")]
#[case::duplicate_models_in_manifests("--manifests {dir}/duplicates", "ClawGateway/desk")]
#[case::missing_secret("--manifests {dir}/secretless", "keys")]
#[case::unknown_field_in_manifests("--manifests {dir}/typo", "replica")]
#[tokio::test]
async fn bad_configuration_ends_with_64_and_says_why(
    #[case] arguments: &str,
    #[case] expected: &str,
) {
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let arguments = format!(
        "gateway --bind 127.0.0.1 {}",
        arguments.replace("{model}", MODEL)
    );
    let (code, message) = run(folder.path(), &arguments, Some("sesame")).await;
    assert_eq!(code, Some(64), "{message}");
    let expected = expected.replace("{dir}", &folder.path().display().to_string());
    assert!(
        message.contains(&expected),
        "{expected} is missing in: {message}"
    );
}

#[tokio::test]
async fn a_gateway_that_nobody_could_call_is_not_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, message) = run(folder.path(), &format!("gateway {MODEL}"), None).await;
    assert_eq!(code, Some(64));
    assert!(
        message.contains("--api-key-file") && message.contains("--allow-anonymous"),
        "{message}"
    );
}

#[tokio::test]
async fn a_port_in_use_has_a_code_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let (code, message) = run(
        folder.path(),
        &format!("gateway --port {port} {MODEL}"),
        Some("sesame"),
    )
    .await;
    assert_eq!(code, Some(69), "{message}");
    assert!(
        message.contains(&format!("--port {port}: the port is in use")),
        "{message}"
    );
}

#[tokio::test]
async fn a_gateway_that_does_not_get_ready_in_time_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments =
        "gateway --port 0 --management-port 0 --model a={dir}/none.gguf --ready-within 300ms";
    let (code, message) = run(folder.path(), arguments, Some("sesame")).await;
    assert_eq!(code, Some(75), "{message}");
    assert!(
        message.contains("none.gguf") && message.contains("GGUF file"),
        "{message}"
    );
}

#[tokio::test]
async fn help_and_version_are_no_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        "--help",
        "--version",
        "gateway --help",
        "model import --help",
    ] {
        assert_eq!(
            run(folder.path(), arguments, None).await.0,
            Some(0),
            "{arguments}"
        );
    }
}

#[rstest]
#[case("model import {dir}/none.gguf {dir}/out", 74, "none.gguf")]
#[case("model import {dir}/a.crt {dir}/out", 65, "GGUF")]
#[case(
    "model fetch http://127.0.0.1:9/x {dir}/x --sha256 beef",
    64,
    "64 hexadecimal digits"
)]
#[tokio::test]
async fn model_commands_say_why_they_fail(
    #[case] arguments: &str,
    #[case] expected: i32,
    #[case] words: &str,
) {
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let (code, message) = run(folder.path(), arguments, None).await;
    assert_eq!(code, Some(expected), "{message}");
    assert!(message.contains(words), "{message}");
}

fn write_files(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    for name in ["a", "b"] {
        let pair =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        write(&format!("{name}.crt"), &pair.cert.pem());
        write(&format!("{name}.key"), &pair.signing_key.serialize_pem());
    }
    write("pattern.yaml", "routes: [{pattern: (, model: a}]\n");
    write("field.yaml", "routes: [{pattern: x, modle: a}]\n");
    write("model.yaml", "routes: [{pattern: x, model: b}]\n");
    write("newer.json", "{\"schemaVersion\": 9}");
    write("empty/.keep", "");
    let gateway = |spec: &str| {
        let head = "apiVersion: claw.dev/v1alpha1\nkind: ClawGateway\nmetadata: {name: desk}\n";
        format!("{head}spec: {{tls: {{disabled: {{}}}}, {spec}}}\n")
    };
    let model = "{name: a, local: {source: {path: /a}}}";
    let keys = "auth: {apiKeys: {selector: {matchLabels: {x: y}}}}";
    write(
        "duplicates/gateway.yaml",
        &gateway(&format!("models: [{model}, {model}], {keys}")),
    );
    let remote = "{name: a, remote: {provider: OpenAI, baseURL: \"https://x.invalid/v1\", credentials: {secretKeyRef: {name: keys, key: k}}}}";
    write(
        "secretless/gateway.yaml",
        &gateway(&format!("models: [{remote}], {keys}")),
    );
    write(
        "typo/gateway.yaml",
        &gateway(&format!("replica: 2, models: [{model}], {keys}")),
    );
}
