//! The server is `s3s` over a folder, which checks signatures as Amazon's does.

use axum::Router;
use axum::error_handling::HandleError;
use claw_crds::gateway_config::{ObjectsConfig, Redacted, S3Config};
use http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::task::JoinSet;

use super::*;
use crate::models::file_server::spawn;

struct BucketServer {
    url: String,
    folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl BucketServer {
    async fn start(objects: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (key, content) in objects {
            let path = folder.path().join("models").join(key);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("written");
        }
        let files = s3s_fs::FileSystem::new(folder.path()).expect("a file system");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single("id", "key"));
        let service =
            HandleError::new(builder.build(), async |_| StatusCode::INTERNAL_SERVER_ERROR);
        let (url, tasks) = spawn(Router::new().fallback_service(service)).await;
        Self {
            url,
            folder,
            _tasks: tasks,
        }
    }

    fn source(&self, objects: ObjectsConfig, key: &str) -> SourceConfig {
        SourceConfig::S3(S3Config {
            bucket: "models".to_owned(),
            objects,
            region: "us-east-1".to_owned(),
            endpoint: self.url.clone(),
            path_style: true,
            credentials: Some((Redacted::new("id"), Redacted::new(key))),
        })
    }
}

fn one(key: &str) -> ObjectsConfig {
    ObjectsConfig::Key {
        key: key.to_owned(),
        sha256: None,
    }
}

#[tokio::test]
async fn an_object_is_fetched() {
    let server = BucketServer::start(&[("llm/q8.gguf", "weights")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = server.source(one("llm/q8.gguf"), "key");
    let files = fetched(&source, folder.path(), Rules::default()).await;
    let files = files.expect("fetched");
    assert_eq!(files["q8.gguf"], b"weights");
}

#[tokio::test]
async fn a_folder_is_fetched_with_what_is_below_it() {
    let server = BucketServer::start(&[
        ("llm/model.json", "{}"),
        ("llm/onnx/model.onnx", "graph"),
        ("llm-other/model.json", "another model"),
    ])
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = server.source(ObjectsConfig::Prefix("llm".to_owned()), "key");
    let files = fetched(&source, folder.path(), Rules::default()).await;
    let files = files.expect("fetched");
    assert_eq!(names(&files), ["model.json", "onnx/model.onnx"]);
}

#[tokio::test]
async fn an_object_that_changed_is_fetched_anew() {
    let server = BucketServer::start(&[("q8.gguf", "old weights")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = server.source(one("q8.gguf"), "key");
    let get = || fetched(&source, folder.path(), Rules::default());
    assert_eq!(get().await.expect("fetched")["q8.gguf"], b"old weights");
    let path = server.folder.path().join("models/q8.gguf");
    std::fs::write(path, "newer weights").expect("written");
    assert_eq!(get().await.expect("fetched")["q8.gguf"], b"newer weights");
}

#[tokio::test]
async fn what_is_wrong_is_told_without_the_key() {
    let server = BucketServer::start(&[("q8.gguf", "weights")]).await;
    let told = refused(&server.source(one("q8.gguf"), "wrong-key")).await;
    assert!(
        told.contains("403") && !told.contains("wrong-key"),
        "{told}"
    );
    let told = refused(&server.source(one("gone.gguf"), "key")).await;
    assert!(told.contains("404") && told.contains("gone.gguf"), "{told}");
    let told = refused(&server.source(ObjectsConfig::Prefix("gone".to_owned()), "key")).await;
    assert!(told.contains("no file for gone/"), "{told}");
    let wrong = ObjectsConfig::Key {
        key: "q8.gguf".to_owned(),
        sha256: Some("0".repeat(64)),
    };
    let told = refused(&server.source(wrong, "key")).await;
    assert!(told.contains("expected 0000"), "{told}");
}
