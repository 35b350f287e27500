use std::sync::atomic::{AtomicUsize, Ordering};

use claw_crds::gateway_config::{OutboundConfig, SourceConfig};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::config::chain;
use crate::models::file_server::FileServer;
use crate::models::origin::origin_of;
use crate::outbound::Outbound;

fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

fn http(url: &str, sha256: &str) -> Arc<dyn Origin> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outbound = Outbound::new(OutboundConfig::unrestricted()).expect("clients");
    let source = SourceConfig::Http {
        url: url.to_owned(),
        sha256: sha256.to_owned(),
    };
    let origin = origin_of(&source, &outbound).expect("valid");
    origin.expect("elsewhere")
}

/// A cache, and a server of one file.
struct Fixture {
    cache: Cache,
    folder: tempfile::TempDir,
    server: FileServer,
    origin: Arc<dyn Origin>,
}

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl Fixture {
    async fn new() -> Self {
        let server = FileServer::start(&[("/m.gguf", CONTENT)]).await;
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            cache: Cache::new(folder.path()),
            origin: http(&format!("{}/m.gguf", server.url), &sha256(CONTENT)),
            folder,
            server,
        }
    }

    async fn obtain(&self) -> Result<Obtained, CacheError> {
        obtain(&self.cache, &*self.origin, Rules::default()).await
    }

    fn partials(&self) -> usize {
        let folder = self.folder.path().join("model-cache/partial");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "part"))
            .count()
    }
}

async fn obtain(cache: &Cache, origin: &dyn Origin, rules: Rules) -> Result<Obtained, CacheError> {
    cache.obtain(origin, rules, &|_| false, &mut |_| ()).await
}

fn read(obtained: &Obtained) -> Vec<u8> {
    let (folder, _) = obtained.folder.as_ref().expect("a folder");
    std::fs::read(folder.join("model.gguf")).expect("a file")
}

#[tokio::test]
async fn a_file_comes_once_and_progress_is_told() {
    let fixture = Fixture::new().await;
    let mut last = Progress::default();
    let mut told = |progress| last = progress;
    let origin = &*fixture.origin;
    let obtained = fixture
        .cache
        .obtain(origin, Rules::default(), &|_| false, &mut told)
        .await
        .expect("fetched");
    assert_eq!(read(&obtained), CONTENT);
    assert_eq!((last.done, last.total), (36, Some(36)));
    let again = fixture.obtain().await.expect("kept");
    assert_eq!(read(&again), CONTENT);
    assert_eq!(fixture.server.asked(), [None]);
    assert_eq!(fixture.partials(), 0);
}

#[tokio::test]
async fn a_truncated_download_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    fixture.server.cut(&[10, 5]);
    let obtained = fixture.obtain().await.expect("fetched");
    assert_eq!(read(&obtained), CONTENT);
    let ranges = [None, Some("bytes=10-"), Some("bytes=15-")];
    assert_eq!(
        fixture.server.asked(),
        ranges.map(|range| range.map(str::to_owned))
    );
}

#[tokio::test]
async fn a_server_that_does_not_continue_begins_anew() {
    let fixture = Fixture::new().await;
    fixture.server.cut(&[10]);
    fixture.server.ignore_ranges();
    let obtained = fixture.obtain().await.expect("fetched");
    assert_eq!(read(&obtained), CONTENT);
}

#[tokio::test]
async fn a_server_that_is_gone_midway_costs_only_what_had_not_come() {
    let fixture = Fixture::new().await;
    fixture.server.cut(&[20, 0, 0, 0, 0, 0]);
    let error = fixture.obtain().await.err().expect("gone");
    assert!(
        chain(&error).contains("cut off after 20 bytes"),
        "{}",
        chain(&error)
    );
    fixture.server.cut(&[]);
    let obtained = fixture.obtain().await.expect("back");
    assert_eq!(read(&obtained), CONTENT);
    let last = fixture.server.asked().pop().flatten();
    assert_eq!(last.as_deref(), Some("bytes=20-"));
}

#[tokio::test]
async fn a_beginning_of_another_file_is_found_out_and_replaced() {
    let fixture = Fixture::new().await;
    fixture.cache.layout.create().expect("folders");
    let partial = fixture.cache.layout.partial(&sha256(CONTENT));
    std::fs::write(&partial, "something else").expect("written");
    let obtained = fixture.obtain().await.expect("fetched");
    assert_eq!(read(&obtained), CONTENT);
}

#[tokio::test]
async fn a_wrong_checksum_leaves_nothing_and_names_both() {
    let fixture = Fixture::new().await;
    let expected = "0".repeat(64);
    let url = format!("{}/m.gguf?signature=hunter2", fixture.server.url);
    let error = obtain(&fixture.cache, &*http(&url, &expected), Rules::default()).await;
    let told = chain(&error.err().expect("another file"));
    assert!(
        told.contains(&expected) && told.contains(&sha256(CONTENT)) && !told.contains("hunter2"),
        "{told}"
    );
    assert_eq!(fixture.partials(), 0);
    assert_eq!(fixture.server.asked().len(), 1, "the same would come again");
}

#[tokio::test]
async fn a_missing_file_is_told_with_its_status() {
    let fixture = Fixture::new().await;
    let origin = http(&format!("{}/gone", fixture.server.url), &sha256(CONTENT));
    let error = obtain(&fixture.cache, &*origin, Rules::default()).await;
    let told = chain(&error.err().expect("missing"));
    assert!(told.contains("404"), "{told}");
}

#[tokio::test]
async fn of_two_processes_one_fetches() {
    let fixture = Fixture::new().await;
    // Locks belong to open files, so a second cache is as good as a second process.
    let other = Cache::new(fixture.folder.path());
    let (one, two) = tokio::join!(
        fixture.obtain(),
        obtain(&other, &*fixture.origin, Rules::default())
    );
    assert_eq!(read(&one.expect("fetched")), CONTENT);
    assert_eq!(read(&two.expect("fetched")), CONTENT);
    assert_eq!(fixture.server.asked().len(), 1);
}

#[tokio::test]
async fn who_waits_for_another_hears_how_far_it_is_and_takes_over() {
    let fixture = Fixture::new().await;
    fixture.cache.layout.create().expect("folders");
    let partial = fixture.cache.layout.partial(&sha256(CONTENT));
    std::fs::write(&partial, &CONTENT[..7]).expect("written");
    let lock = std::fs::File::create(partial.with_extension("lock")).expect("a lock");
    lock.lock().expect("free");
    let heard = AtomicUsize::new(0);
    let mut told = |progress: Progress| {
        let done = usize::try_from(progress.done).expect("small");
        if heard.swap(done, Ordering::Relaxed) == 0 {
            // The other process ends.
            lock.unlock().expect("locked");
        }
    };
    let origin = &*fixture.origin;
    let obtained = fixture
        .cache
        .obtain(origin, Rules::default(), &|_| false, &mut told)
        .await
        .expect("fetched");
    assert_eq!(read(&obtained), CONTENT);
    let asked = fixture.server.asked().pop().flatten();
    assert_eq!(asked.as_deref(), Some("bytes=7-"));
}

#[tokio::test]
async fn a_cancelled_download_goes_on_later() {
    let fixture = Fixture::new().await;
    fixture.server.cut(&[12, 0, 0, 0]);
    let (seen, mut progress) = tokio::sync::watch::channel(0);
    let mut told = |progress: Progress| {
        let _ = seen.send_replace(progress.done);
    };
    let origin = &*fixture.origin;
    let fetching = fixture
        .cache
        .obtain(origin, Rules::default(), &|_| false, &mut told);
    let outcome = tokio::select! {
        outcome = fetching => Some(outcome.is_ok()),
        _ = progress.wait_for(|done| *done == 12) => None,
    };
    assert_eq!(outcome, None, "it was given up");
    fixture.server.cut(&[]);
    let obtained = fixture.obtain().await.expect("fetched");
    assert_eq!(read(&obtained), CONTENT);
    let asked = fixture.server.asked().pop().flatten();
    assert_eq!(asked.as_deref(), Some("bytes=12-"));
}

#[tokio::test]
async fn offline_only_what_is_here_is_used() {
    let fixture = Fixture::new().await;
    let offline = Rules {
        offline: true,
        ..Rules::default()
    };
    let error = obtain(&fixture.cache, &*fixture.origin, offline).await;
    let told = chain(&error.err().expect("nothing is here"));
    assert!(
        told.contains("is not in the cache") && told.contains("offline"),
        "{told}"
    );
    assert!(fixture.server.asked().is_empty());
    fixture.obtain().await.expect("fetched");
    let obtained = obtain(&fixture.cache, &*fixture.origin, offline).await;
    assert_eq!(read(&obtained.expect("kept")), CONTENT);
}

#[tokio::test]
async fn what_replaces_files_makes_them_unneeded() {
    let fixture = Fixture::new().await;
    let obtained = fixture
        .cache
        .obtain(&*fixture.origin, Rules::default(), &|_| true, &mut |_| ())
        .await
        .expect("replaced");
    assert!(obtained.folder.is_none());
    assert!(fixture.server.asked().is_empty());
    let obtained = fixture.obtain().await.expect("fetched");
    let contents = obtained.contents.clone();
    fixture.cache.forget(&contents);
    assert!(obtained.folder.as_ref().expect("held").0.exists(), "in use");
    drop(obtained);
    fixture.cache.forget(&contents);
    assert_eq!(fixture.cache.usage().await.expect("usage").bytes, 0);
}

#[tokio::test]
async fn the_budget_holds_and_what_is_in_use_stays() {
    let names = ["a", "b", "c"];
    let contents = names.map(|name| name.repeat(100).into_bytes());
    let files: Vec<_> = ["/a", "/b", "/c"]
        .into_iter()
        .zip(contents.iter().map(Vec::as_slice))
        .collect();
    let server = FileServer::start(&files).await;
    let origins: Vec<_> = files
        .iter()
        .map(|(path, content)| http(&format!("{}{path}", server.url), &sha256(content)))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::new(folder.path());
    let rules = Rules {
        budget: Some(250),
        offline: false,
    };
    let a = obtain(&cache, &*origins[0], rules).await.expect("fetched");
    let b = obtain(&cache, &*origins[1], rules).await.expect("fetched");
    assert_eq!(cache.usage().await.expect("usage").in_use, 200);
    // Sizes are known only when files have come, where the origin is a URL; so room is made afterwards.
    let error = cache
        .make_room(100, rules)
        .await
        .expect_err("both are in use");
    assert!(error.to_string().contains("spec.modelPool.disk"), "{error}");
    drop(a);
    cache.make_room(100, rules).await.expect("one may go");
    let left = cache.usage().await.expect("usage");
    assert_eq!((left.bytes, left.models), (100, 1));
    assert_eq!(read(&b), contents[1], "what is in use stays");
}

#[tokio::test]
async fn a_file_that_has_no_room_is_not_even_begun() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("http://{}/model", listener.local_addr().expect("bound"));
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a client");
        let asked = connection.read(&mut [0; 1024]).await;
        assert!(asked.expect("a request") > 0);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 60);
        connection
            .write_all(head.as_bytes())
            .await
            .expect("written");
        // Open until the test is over.
        std::future::pending::<()>().await;
    });
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::new(folder.path());
    let error = obtain(&cache, &*http(&url, &sha256(CONTENT)), Rules::default()).await;
    let told = chain(&error.err().expect("too large"));
    assert!(told.contains("1152921504606846976 bytes"), "{told}");
    assert!(told.contains("spec.storage.size"), "{told}");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let cache = Cache::new(&file);
    let error = obtain(
        &cache,
        &*http("http://127.0.0.1:9/", &sha256(b"")),
        Rules::default(),
    )
    .await;
    let told = chain(&error.err().expect("no folder"));
    assert!(told.contains("--state-dir"), "{told}");
}
