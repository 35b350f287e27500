//! Models of the real program: fetched, waited for, kept within budgets, and examined from the command line.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::binary::{Binary, chat, command, events, said, stream, until};
use crate::local_model::smollm2;

/// A folder with these models as manifests.
fn manifests(models: &Value, pool: &Value) -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("manifests");
    fs::create_dir(&directory).expect("a folder");
    write(&directory, models, pool);
    let arguments = ["--manifests".to_owned(), directory.display().to_string()];
    (folder, arguments.into())
}

fn write(directory: &Path, models: &Value, pool: &Value) {
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}}, "auth": {"anonymous": {}}, "models": models, "modelPool": pool,
        },
    });
    fs::write(directory.join("all.yaml"), gateway.to_string()).expect("written");
}

fn lazy(name: &str, source: &Value) -> Value {
    json!({"name": name, "local": {"source": source, "load": "Lazy"}})
}

async fn serve(content: Vec<u8>) -> (MockServer, Value) {
    let server = MockServer::start().await;
    let sha256 = hex::encode(Sha256::digest(&content));
    let answer = ResponseTemplate::new(200).set_body_bytes(content);
    Mock::given(path("/model.gguf"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let url = format!("{}/model.gguf", server.uri());
    (server, json!({"http": {"url": url, "sha256": sha256}}))
}

async fn warm(gateway: &Binary, model: &str) -> (u16, Value) {
    let url = format!("http://{}/admin/models/{model}/warm", gateway.management);
    let response = gateway.client.post(url).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn state(gateway: &Binary, index: usize) -> Value {
    gateway.status().await["models"][index].clone()
}

#[tokio::test]
async fn a_lazy_model_is_fetched_and_loaded_for_its_first_request() {
    let Some(file) = smollm2() else {
        return;
    };
    let (server, source) = serve(fs::read(file).expect("readable")).await;
    let (folder, arguments) = manifests(&json!([lazy("near", &source)]), &json!({}));
    let gateway = Binary::start_in(folder, &arguments).await;
    until("ready without the model", async || {
        (gateway.managed("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(state(&gateway, 0).await["state"], "standby");
    let mut body = stream("near");
    body["max_tokens"] = 8.into();
    let response = gateway.chat("/v1/chat/completions", &body).send().await;
    let answer = events(response.expect("an answer")).await;
    assert!(!said(&answer).is_empty(), "{answer:?}");
    let status = gateway.status().await;
    assert_eq!(status["models"][0]["state"], "ready");
    assert!(
        status["modelPool"]["memoryBytes"].as_u64() > Some(50 << 20),
        "{status}"
    );
    assert!(
        status["modelPool"]["diskBytes"].as_u64() > Some(50 << 20),
        "{status}"
    );
    // What was fetched and imported serves another process without the network.
    let folder = gateway.into_folder();
    fs::remove_file(folder.path().join("ports.json")).expect("those of the first process");
    drop(server);
    let mut offline = arguments;
    offline.push("--offline".to_owned());
    let gateway = Binary::start_in(folder, &offline).await;
    let (status, told) = warm(&gateway, "near").await;
    assert_eq!((status, &told["state"]), (200, &json!("ready")), "{told}");
}

#[tokio::test]
async fn what_cannot_be_loaded_says_why_and_the_rest_serves() {
    let (_server, wrong) = serve(b"not what was promised".to_vec()).await;
    let mut wrong = wrong;
    wrong["http"]["sha256"] = "0".repeat(64).into();
    let (_other, unknown) = serve(b"GGUF, but not really".to_vec()).await;
    let gone = json!({"persistentVolumeClaim": {"claimName": "gone"}});
    let models = json!([
        lazy("wrong", &wrong),
        lazy("corrupt", &unknown),
        lazy("gone", &gone)
    ]);
    let (folder, arguments) = manifests(&models, &json!({}));
    let gateway = Binary::start_in(folder, &arguments).await;
    for (index, (name, reason, expected)) in [
        ("wrong", "fetch", "expected 0000"),
        ("corrupt", "import", "failed to import"),
        ("gone", "files", "/mnt/models/gone"),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, told) = warm(&gateway, name).await;
        let error = told["error"].as_str().unwrap_or_default();
        assert!(status == 503 && error.contains(expected), "{told}");
        assert_eq!(state(&gateway, index).await["state"], "failed");
        let (_, metrics) = gateway.managed("/metrics").await;
        let line = format!(r#"claw_gateway_model_failed{{model="{name}",reason="{reason}"}} 1"#);
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
        let (status, answer) = gateway.ask("/v1/chat/completions", &chat(name)).await;
        assert_eq!(status, 503, "{answer}");
    }
    assert_eq!(gateway.managed("/readyz").await.0, 200);
}

#[tokio::test]
async fn only_local_models_that_there_are_can_be_warmed() {
    let far = json!({"name": "far/away", "remote": {"provider": "OpenAI", "baseURL": "http://127.0.0.1:9/v1"}});
    let (folder, arguments) = manifests(&json!([far]), &json!({}));
    let gateway = Binary::start_in(folder, &arguments).await;
    let (status, told) = warm(&gateway, "far/away").await;
    assert!(status == 400 && told.to_string().contains("API"), "{told}");
    let (status, told) = warm(&gateway, "gone").await;
    assert!(
        status == 404 && told.to_string().contains("far/away"),
        "{told}"
    );
}

/// Standard output, standard error and exit code of a command.
async fn output(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = command(folder).args(arguments).output().await;
    let output = output.expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[tokio::test]
async fn a_model_is_pulled_into_the_state_directory_once() {
    let (server, source) = serve(b"weights".to_vec()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (url, sha256) = (&source["http"]["url"], &source["http"]["sha256"]);
    let (url, sha256) = (
        url.as_str().expect("a URL"),
        sha256.as_str().expect("digits"),
    );
    let arguments = ["model", "pull", url, "--sha256", sha256];
    let (said, _, code) = output(folder.path(), &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    let path = PathBuf::from(said.trim());
    assert_eq!(fs::read(&path).expect("a file"), b"weights");
    assert!(path.starts_with(folder.path().join("state")), "{said}");
    drop(server);
    let (again, _, code) = output(folder.path(), &[&arguments[..], &["--offline"]].concat()).await;
    assert_eq!((again, code), (said, Some(0)));
    let wrong = "0".repeat(64);
    let arguments = ["model", "pull", url, "--sha256", &wrong, "--offline"];
    let (_, error, code) = output(folder.path(), &arguments).await;
    assert!(code == Some(74) && error.contains("offline"), "{error}");
    let (_, error, code) = output(folder.path(), &["model", "pull", "hf://team/model"]).await;
    assert!(code == Some(64) && error.contains("--file"), "{error}");
}

#[tokio::test]
async fn the_doctor_says_what_is_missing_for_a_gpu() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, error, code) = output(folder.path(), &["doctor", "gpu"]).await;
    let (json, ..) = output(folder.path(), &["doctor", "gpu", "--format", "json"]).await;
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert!(text.contains("ONNX Runtime"), "{text}");
    assert!(
        report["checks"]
            .as_array()
            .is_some_and(|checks| checks.len() > 3)
    );
    // This machine may have one.
    let is_usable = report["usable"] == true;
    assert_eq!(code, Some(if is_usable { 0 } else { 69 }));
    assert_eq!(error.contains("no usable GPU"), !is_usable, "{error}");
}
