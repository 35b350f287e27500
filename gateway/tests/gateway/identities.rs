//! Callers who are known by something else than an API key.

mod client_certificates;
mod introspection;
pub(crate) mod issuer;
mod jwt;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::Binary;
use crate::upstream::Upstream;

/// A gateway with the models `good` and `other`; `spec` is put over its own.
fn gateway(upstream: &Upstream, spec: Value) -> Value {
    let base = format!("http://{}/v1", upstream.address);
    let remote = |name: &str| json!({"name": name, "remote": {"provider": "OpenAI", "baseURL": base, "model": "good"}});
    let mut gateway = json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": "desk"},
        "spec": {"tls": {"disabled": {}}, "models": [remote("good"), remote("other")]},
    });
    let Value::Object(fields) = spec else {
        unreachable!("a spec is an object")
    };
    for (field, value) in fields {
        gateway["spec"][field] = value;
    }
    gateway
}

fn secret(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

/// A folder with these objects, a file each.
fn folder(objects: &[Value]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("manifests")).expect("a folder");
    for (index, object) in objects.iter().enumerate() {
        write(folder.path(), index, object);
    }
    folder
}

/// Replace one of them as a whole.
fn write(folder: &Path, index: usize, object: &Value) {
    let new = folder.join("new");
    fs::write(&new, object.to_string()).expect("written");
    fs::rename(new, folder.join("manifests").join(format!("{index}.json"))).expect("replaced");
}

async fn start(folder: TempDir, client: (&'static str, reqwest::Client)) -> Binary {
    let manifests = folder.path().join("manifests").display().to_string();
    Binary::start_with(folder, &["--manifests".to_owned(), manifests], client).await
}

/// Status, code of the error and challenge.
async fn answer(request: reqwest::RequestBuilder) -> (u16, Value, String) {
    let response = request.send().await.expect("an answer");
    let challenge = response.headers().get("www-authenticate");
    let challenge = challenge.map_or("", |value| value.to_str().expect("text"));
    let (status, challenge) = (response.status().as_u16(), challenge.to_owned());
    let body: Value = response.json().await.expect("JSON");
    (status, body["error"].clone(), challenge)
}
