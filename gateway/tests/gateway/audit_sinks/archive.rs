//! Closed segments go to object storage before they go from the disk. The server is a real one, which checks signatures
//! and checksums.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use axum::Router;
use axum::error_handling::HandleError;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use super::*;
use crate::binary::command;

const KEY_ID: &str = "archivist";
const SECRET: &str = "planted-secret-key";

/// Storage with a bucket "audit" whose objects are files.
struct Storage {
    folder: TempDir,
    address: SocketAddr,
    mood: Arc<Mood>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Mood {
    /// 0 takes everything.
    refusal: AtomicU16,
    /// Keeps quiet about checksums, as some do.
    is_silent: AtomicBool,
}

impl Storage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("audit")).expect("a bucket");
        let files = s3s_fs::FileSystem::new(folder.path()).expect("a file system");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service =
            HandleError::new(builder.build(), async |_| StatusCode::INTERNAL_SERVER_ERROR);
        let mood = Arc::<Mood>::default();
        let app = Router::new()
            .fallback_service(service)
            .layer(from_fn_with_state(Arc::clone(&mood), moody));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self {
            folder,
            address,
            mood,
            _server: server,
        }
    }

    /// The folder of the log in the bucket.
    fn log(&self) -> PathBuf {
        self.folder.path().join("audit/gateways/desk")
    }

    /// What is in the archive of the only chain.
    fn segments(&self) -> Vec<String> {
        let Ok(mut chains) = fs::read_dir(self.log()) else {
            return Vec::new();
        };
        let chain = chains.next().expect("a chain").expect("a folder").path();
        let names = fs::read_dir(chain).expect("a folder");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.into_string().expect("UTF-8"));
        names.filter(|name| name != "manifest.json").collect()
    }
}

async fn moody(State(mood): State<Arc<Mood>>, request: Request, next: Next) -> Response {
    let refusal = mood.refusal.load(Ordering::SeqCst);
    if refusal != 0 {
        return StatusCode::from_u16(refusal)
            .expect("a status")
            .into_response();
    }
    let mut response = next.run(request).await;
    if mood.is_silent.load(Ordering::SeqCst) {
        response.headers_mut().remove("x-amz-checksum-sha256");
    }
    response
}

fn archived_in(storage: &Storage, secret_key: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("manifests")).expect("a folder");
    write_archive(folder.path(), storage, secret_key);
    folder
}

fn write_archive(folder: &Path, storage: &Storage, secret_key: &str) {
    let value = |key: &str| json!({"secretKeyRef": {"name": "storage", "key": key}});
    let archive = json!({
        "bucket": "audit", "prefix": "gateways/desk",
        "endpoint": format!("http://{}", storage.address),
        "accessKeyId": value("id"), "secretAccessKey": value("key"),
    });
    let keys = secret("storage", &json!({"id": KEY_ID, "key": secret_key}));
    write_audit(folder, &json!({ "archive": archive }), &[keys]);
}

/// Records, and a stop.
async fn live(folder: TempDir) -> TempDir {
    fs::remove_file(folder.path().join("ports.json")).ok();
    let gateway = start(folder).await;
    ask(&gateway, 10).await;
    stop(gateway).await
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let chain = fs::read_dir(folder.join("state/audit/chain-0")).expect("a chain");
    let paths = chain.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    segments.sort();
    segments
}

/// Make the newest segment one of this day.
fn age(folder: &Path, day: &str) -> String {
    let newest = segments(folder).pop().expect("a segment");
    let name = newest.file_name().expect("a name").to_string_lossy();
    let (first, _) = name.split_once('-').expect("a day");
    let aged = format!("{first}-{day}.jsonl");
    fs::rename(&newest, newest.with_file_name(&aged)).expect("renamed");
    aged
}

async fn verify(folder: &Path, log: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = command(folder);
    let output = command.args(["audit", "verify"]).args(more).arg(log);
    let output = output.output().await.expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test]
async fn segments_stay_until_they_are_in_the_archive_which_is_a_log_of_its_own() {
    let storage = Storage::start().await;
    // So that the last segment of a program that stops is not there yet.
    storage.mood.refusal.store(503, Ordering::SeqCst);
    let folder = live(archived_in(&storage, SECRET)).await;
    // Of long ago: only the archive keeps it here.
    let first = age(folder.path(), "2020-02-03");
    fs::remove_file(folder.path().join("ports.json")).ok();
    let gateway = start(folder).await;
    ask(&gateway, 10).await;
    let report = until("the fault is told", async || {
        let report = gateway.status().await["audit"]["sinks"][0].clone();
        report["fault"].is_string().then_some(report)
    })
    .await;
    assert_eq!(report["name"], "archive");
    assert_eq!(report["fault"], "the object storage answered 503");
    assert!(report["behind"].as_u64() > Some(10), "{report}");
    assert_eq!(segments(gateway.folder.path()).len(), 2);
    storage.mood.refusal.store(0, Ordering::SeqCst);
    until("the segment is archived", async || {
        let report = gateway.status().await["audit"]["sinks"][0].clone();
        (report["behind"] == 0 && report["fault"].is_null()).then_some(())
    })
    .await;
    storage.mood.refusal.store(403, Ordering::SeqCst);
    let folder = stop(gateway).await;
    assert_eq!(storage.segments(), [first]);
    let second = age(folder.path(), "2020-02-04");
    storage.mood.refusal.store(0, Ordering::SeqCst);
    // Read back, where the storage does not say what it has.
    storage.mood.is_silent.store(true, Ordering::SeqCst);
    fs::remove_file(folder.path().join("ports.json")).ok();
    let gateway = start(folder).await;
    until("the segment is archived", async || {
        // And its manifest.
        let report = gateway.status().await["audit"]["sinks"][0].clone();
        (storage.segments().contains(&second) && report["behind"] == 0).then_some(())
    })
    .await;
    let folder = stop(gateway).await;
    // The first one was archived when this program began, so it went.
    let left = segments(folder.path());
    assert!(left[0].ends_with(&second) && left.len() == 2, "{left:?}");
    expect_whole(folder.path()).await;

    let (code, text) = verify(folder.path(), &storage.log(), &[]).await;
    assert!(code == Some(0) && text.contains("in 3 segments"), "{text}");
    let chain = fs::read_dir(storage.log()).expect("a log").next();
    let chain = chain.expect("a chain").expect("a folder").path();
    fs::remove_file(chain.join(&second)).expect("removed");
    assert_eq!(verify(folder.path(), &storage.log(), &[]).await.0, Some(65));
    fs::remove_file(chain.join("manifest.json")).expect("removed");
    assert_eq!(verify(folder.path(), &chain, &[]).await.0, Some(65));
    let newest = segments(folder.path()).pop().expect("a segment");
    fs::remove_file(chain.join(newest.file_name().expect("a name"))).expect("removed");
    let (code, text) = verify(folder.path(), &chain, &["--part"]).await;
    assert!(code == Some(0) && text.contains("in 1 segments"), "{text}");
}

/// Every file of a chain, by its name.
fn contents(segments: &[PathBuf]) -> Vec<Vec<u8>> {
    let read = |path: &PathBuf| fs::read(path).expect("readable");
    segments.iter().map(read).collect()
}

/// The segments of a folder of the archive, in order.
fn archived(chain: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(chain).expect("a folder");
    let paths = paths.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    segments.sort();
    segments
}

#[tokio::test]
async fn the_last_segment_is_in_the_archive_when_the_gateway_stops() {
    let storage = Storage::start().await;
    let mut folder = live(archived_in(&storage, SECRET)).await;
    for expected in [1, 2] {
        let local = segments(folder.path());
        assert_eq!(local.len(), expected);
        let chain = fs::read_dir(storage.log()).expect("a log").next();
        let chain = chain.expect("a chain").expect("a folder").path();
        assert_eq!(contents(&archived(&chain)), contents(&local));
        let (code, text) = verify(folder.path(), &storage.log(), &[]).await;
        assert_eq!(code, Some(0), "{text}");
        folder = live(folder).await;
    }
    expect_whole(folder.path()).await;
}

#[tokio::test]
async fn the_last_segment_of_a_replica_that_is_gone_is_archived_by_another_one() {
    let storage = Storage::start().await;
    storage.mood.refusal.store(403, Ordering::SeqCst);
    let folder = live(archived_in(&storage, SECRET)).await;
    let left = folder.path().join("state/audit/chain-1");
    fs::create_dir(&left).expect("a folder");
    let newest = segments(folder.path()).pop().expect("a segment");
    let whole = fs::read(&newest).expect("readable");
    let name = newest.file_name().expect("a name");
    // It was killed in the middle of a record.
    fs::write(left.join(name), [&whole[..], b"{\"half"].concat()).expect("written");
    let manifest = newest.with_file_name("manifest.json");
    fs::copy(manifest, left.join("manifest.json")).expect("copied");
    storage.mood.refusal.store(0, Ordering::SeqCst);
    fs::remove_file(folder.path().join("ports.json")).ok();
    let gateway = start(folder).await;
    let known = || -> Option<PathBuf> {
        let state = fs::read(left.join("archive.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&state).ok()?;
        let is_there = state["last"]["sequence"].as_u64()? > 0;
        is_there.then(|| {
            storage
                .log()
                .join(state["folder"].as_str().expect("a name"))
        })
    };
    let chain = until("the chain is archived", async || known()).await;
    assert_eq!(contents(&archived(&chain)), [whole]);
    let folder = stop(gateway).await;
    let (code, text) = verify(folder.path(), &storage.log(), &[]).await;
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test]
async fn a_wrong_key_is_told_without_it() {
    let storage = Storage::start().await;
    let folder = live(archived_in(&storage, "planted-wrong-key")).await;
    age(folder.path(), "2026-02-03");
    fs::remove_file(folder.path().join("ports.json")).ok();
    let gateway = start(folder).await;
    ask(&gateway, 1).await;
    until("the fault is told", async || {
        let fault = gateway.status().await["audit"]["sinks"][0]["fault"].clone();
        (fault == "the object storage answered 403: SignatureDoesNotMatch").then_some(())
    })
    .await;
    assert_eq!(storage.segments(), Vec::<String>::new());
    let log = gateway.log();
    assert!(
        !log.contains("planted-wrong-key") && !log.contains("X-Amz-Signature"),
        "{log}"
    );
    // The right one is taken up without a restart.
    write_archive(gateway.folder.path(), &storage, SECRET);
    until("the segment is archived", async || {
        (storage.segments().len() == 1).then_some(())
    })
    .await;
}
