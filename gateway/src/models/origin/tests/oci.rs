//! The server speaks the pulling part of the OCI distribution protocol, with tokens, as registries do.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use claw_crds::gateway_config::{OciConfig, Redacted};
use http::header::{RANGE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::*;
use crate::models::file_server::{answer, header, spawn};

const GRAPH: &[u8] = b"a graph of some size";
const CONFIG: &[u8] = b"{}";

#[derive(Clone, Default)]
struct Registry {
    url: Arc<Mutex<String>>,
    manifest: Arc<Vec<u8>>,
    /// Bytes of the next blob that come before the connection breaks.
    cut: Arc<Mutex<Option<usize>>>,
    tokens: Arc<Mutex<usize>>,
}

struct RegistryServer {
    registry: Registry,
    url: String,
    _tasks: JoinSet<()>,
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn layer(content: &[u8], title: Option<&str>, media_type: &str) -> Value {
    let annotations = title.map(|title| json!({"org.opencontainers.image.title": title}));
    json!({
        "mediaType": media_type, "digest": digest(content), "size": content.len(),
        "annotations": annotations.unwrap_or_else(|| json!({})),
    })
}

fn manifest(layers: &[Value]) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": layer(CONFIG, None, "application/vnd.oci.empty.v1+json"), "layers": layers,
    });
    manifest.to_string().into_bytes()
}

fn two_files() -> Vec<u8> {
    manifest(&[
        layer(GRAPH, Some("onnx/model.onnx"), "application/octet-stream"),
        layer(CONFIG, Some("model.json"), "application/json"),
    ])
}

impl RegistryServer {
    async fn start(manifest: Vec<u8>) -> Self {
        let registry = Registry {
            manifest: Arc::new(manifest),
            ..Registry::default()
        };
        let router = Router::new()
            .route("/token", get(token))
            .route("/v2/team/model/manifests/{reference}", get(manifests))
            .route("/v2/team/model/blobs/{digest}", get(blobs))
            .with_state(registry.clone());
        let (url, tasks) = spawn(router).await;
        url.clone_into(&mut registry.url.lock().expect("whole"));
        Self {
            registry,
            url,
            _tasks: tasks,
        }
    }

    fn source(&self, reference: &str, password: Option<&str>) -> SourceConfig {
        SourceConfig::Oci(OciConfig {
            registry: self.url.clone(),
            repository: "team/model".to_owned(),
            reference: reference.to_owned(),
            credentials: password.map(|password| (Redacted::new("me"), Redacted::new(password))),
        })
    }
}

/// `me:password`, and nobody else.
async fn token(
    State(registry): State<Registry>,
    Query(query): Query<Value>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(query["scope"], "repository:team/model:pull");
    assert_eq!(query["service"], "registry.test");
    if header(&headers, "authorization").as_deref() != Some("Basic bWU6cGFzc3dvcmQ=") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    *registry.tokens.lock().expect("whole") += 1;
    Json(json!({"token": "t0ken"})).into_response()
}

fn challenge(registry: &Registry, headers: &HeaderMap) -> Option<Response> {
    if header(headers, "authorization").as_deref() == Some("Bearer t0ken") {
        return None;
    }
    let url = registry.url.lock().expect("whole").clone();
    let wanted = format!(r#"Bearer realm="{url}/token",service="registry.test",scope="x""#);
    Some((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, wanted)]).into_response())
}

async fn manifests(
    State(registry): State<Registry>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = challenge(&registry, &headers) {
        return refusal;
    }
    let accepts = header(&headers, "accept").unwrap_or_default();
    assert!(accepts.contains("application/vnd.oci.image.manifest.v1+json"));
    if reference != "q8" && reference != digest(&registry.manifest) {
        return StatusCode::NOT_FOUND.into_response();
    }
    registry.manifest.as_ref().clone().into_response()
}

async fn blobs(
    State(registry): State<Registry>,
    Path(wanted): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = challenge(&registry, &headers) {
        return refusal;
    }
    let Some(content) = [GRAPH, CONFIG]
        .into_iter()
        .find(|content| digest(content) == wanted)
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let range = header(&headers, RANGE.as_str());
    let begin = range.and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let cut = registry.cut.lock().expect("whole").take();
    answer(content, begin, cut, &format!("\"{wanted}\""))
}

#[tokio::test]
async fn layers_are_files_and_come_with_a_token() {
    let server = RegistryServer::start(two_files()).await;
    *server.registry.cut.lock().expect("whole") = Some(5);
    let folder = tempfile::tempdir().expect("a folder");
    let source = server.source("q8", Some("password"));
    let files = fetched(&source, folder.path(), Rules::default()).await;
    let files = files.expect("fetched, though the first blob was cut off");
    assert_eq!(names(&files), ["model.json", "onnx/model.onnx"]);
    assert_eq!(files["onnx/model.onnx"], GRAPH);
    assert_eq!(*server.registry.tokens.lock().expect("whole"), 1);
}

#[tokio::test]
async fn a_digest_is_checked_and_asked_for_once() {
    let server = RegistryServer::start(two_files()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let reference = digest(&two_files());
    let source = server.source(&reference, Some("password"));
    let files = fetched(&source, folder.path(), Rules::default()).await;
    assert_eq!(files.expect("fetched").len(), 2);
    let RegistryServer {
        _tasks: mut tasks, ..
    } = server;
    tasks.shutdown().await;
    let again = fetched(&source, folder.path(), Rules::default()).await;
    assert_eq!(again.expect("kept").len(), 2);
}

#[tokio::test]
async fn a_single_layer_without_a_name_is_a_gguf_file() {
    let only = manifest(&[layer(GRAPH, None, "application/vnd.docker.ai.gguf.v3")]);
    let server = RegistryServer::start(only).await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = server.source("q8", Some("password"));
    let files = fetched(&source, folder.path(), Rules::default()).await;
    assert_eq!(names(&files.expect("fetched")), ["model.gguf"]);
}

#[tokio::test]
async fn what_is_wrong_is_told_without_the_password() {
    let server = RegistryServer::start(two_files()).await;
    let told = refused(&server.source("q8", Some("wr0ng"))).await;
    assert!(told.contains("401") && !told.contains("wr0ng"), "{told}");
    let told = refused(&server.source("gone", Some("password"))).await;
    assert!(told.contains("404"), "{told}");
    let outside = manifest(&[layer(
        GRAPH,
        Some("../../etc/passwd"),
        "application/octet-stream",
    )]);
    let server = RegistryServer::start(outside).await;
    let told = refused(&server.source("q8", Some("password"))).await;
    assert!(told.contains("is no single file"), "{told}");
    let archive = manifest(&[layer(
        GRAPH,
        Some("m"),
        "application/vnd.oci.image.layer.v1.tar+gzip",
    )]);
    let server = RegistryServer::start(archive).await;
    let told = refused(&server.source("q8", Some("password"))).await;
    assert!(told.contains("oras push"), "{told}");
}
