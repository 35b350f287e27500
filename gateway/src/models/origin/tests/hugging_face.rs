use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use claw_crds::gateway_config::{HuggingFaceConfig, Redacted};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::*;
use crate::models::file_server::{FileServer, header, spawn};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &[u8] = b"weights of the model";

/// A hub with one gated repository, whose large files are on another host.
struct HubServer {
    url: String,
    /// Paths that were asked for at the hub itself.
    asked: Arc<Mutex<Vec<String>>>,
    storage: FileServer,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Hub {
    storage: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HubServer {
    async fn start() -> Self {
        let storage = FileServer::start(&[("/weights", WEIGHTS)]).await;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let hub = Hub {
            storage: storage.url.clone(),
            asked: Arc::clone(&asked),
        };
        let router = Router::new()
            .route("/api/models/team/model/revision/{revision}", get(revision))
            .route("/team/model/resolve/{commit}/{*path}", get(resolve))
            .with_state(hub);
        let (url, tasks) = spawn(router).await;
        Self {
            url,
            asked,
            storage,
            _tasks: tasks,
        }
    }

    fn source(&self, revision: &str, files: &[&str], token: Option<&str>) -> SourceConfig {
        SourceConfig::HuggingFace(HuggingFaceConfig {
            endpoint: self.url.clone(),
            repo: "team/model".to_owned(),
            revision: revision.to_owned(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            token: token.map(Redacted::new),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }
}

fn is_admitted(headers: &HeaderMap) -> bool {
    header(headers, "authorization").as_deref() == Some("Bearer hf_token")
}

async fn revision(
    State(hub): State<Hub>,
    Path(revision): Path<String>,
    Query(query): Query<Value>,
    headers: HeaderMap,
) -> Response {
    hub.asked.lock().expect("whole").push(revision.clone());
    if !is_admitted(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if revision != "main" && revision != COMMIT {
        return StatusCode::NOT_FOUND.into_response();
    }
    assert_eq!(query["blobs"], "true");
    let sha256 = hex::encode(Sha256::digest(WEIGHTS));
    let siblings = json!([
        {"rfilename": "README.md", "size": 5, "blobId": "x"},
        {"rfilename": "config.json", "size": 2, "blobId": "y"},
        {"rfilename": "onnx/model.onnx", "size": WEIGHTS.len(), "blobId": "z",
         "lfs": {"sha256": sha256, "size": WEIGHTS.len(), "pointerSize": 134}},
    ]);
    Json(json!({"id": "team/model", "sha": COMMIT, "siblings": siblings})).into_response()
}

async fn resolve(
    State(hub): State<Hub>,
    Path((commit, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    hub.asked.lock().expect("whole").push(path.clone());
    assert_eq!(commit, COMMIT, "files of one commit");
    if !is_admitted(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match path.as_str() {
        "config.json" => "{}".into_response(),
        "onnx/model.onnx" => {
            Redirect::temporary(&format!("{}/weights", hub.storage)).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn the_files_that_patterns_name_come_with_the_token() {
    let hub = HubServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = hub.source("main", &["*.json", "onnx/*"], Some("hf_token"));
    let files = fetched(&source, folder.path(), Rules::default()).await;
    let files = files.expect("fetched");
    assert_eq!(names(&files), ["config.json", "onnx/model.onnx"]);
    assert_eq!(files["onnx/model.onnx"], WEIGHTS);
}

#[tokio::test]
async fn a_branch_is_asked_for_again_and_files_that_are_here_are_not() {
    let hub = HubServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = hub.source("main", &["config.json", "onnx/*"], Some("hf_token"));
    for _ in 0..2 {
        let files = fetched(&source, folder.path(), Rules::default()).await;
        assert_eq!(files.expect("fetched").len(), 2);
    }
    let expected = ["main", "config.json", "onnx/model.onnx", "main"];
    assert_eq!(hub.asked(), expected);
    assert_eq!(hub.storage.asked().len(), 1);
}

#[tokio::test]
async fn a_commit_is_asked_for_once() {
    let hub = HubServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = hub.source(COMMIT, &["config.json"], Some("hf_token"));
    for _ in 0..2 {
        let files = fetched(&source, folder.path(), Rules::default()).await;
        assert_eq!(files.expect("fetched").len(), 1);
    }
    assert_eq!(hub.asked(), [COMMIT, "config.json"]);
}

#[tokio::test]
async fn a_hub_that_is_down_leaves_what_is_here() {
    let hub = HubServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = hub.source("main", &["onnx/*"], Some("hf_token"));
    let first = fetched(&source, folder.path(), Rules::default()).await;
    let first = first.expect("fetched");
    let HubServer {
        _tasks: mut tasks, ..
    } = hub;
    tasks.shutdown().await;
    let second = fetched(&source, folder.path(), Rules::default()).await;
    assert_eq!(second.expect("kept"), first);
    let offline = Rules {
        offline: true,
        ..Rules::default()
    };
    let third = fetched(&source, folder.path(), offline).await;
    assert_eq!(third.expect("kept"), first);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let hub = HubServer::start().await;
    let told = refused(&hub.source("main", &["*"], None)).await;
    assert!(
        told.contains("401") && told.contains("credential"),
        "{told}"
    );
    let token = Some("hf_token");
    let told = refused(&hub.source("gone", &["*"], token)).await;
    assert!(told.contains("404") && !told.contains("hf_token"), "{told}");
    let told = refused(&hub.source("main", &["*.gguf"], token)).await;
    assert!(
        told.contains("*.gguf") && told.contains("config.json"),
        "{told}"
    );
    let told = refused(&hub.source("main", &["["], token)).await;
    assert!(told.contains("is not a pattern"), "{told}");
}
