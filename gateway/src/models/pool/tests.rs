use std::path::{Path, PathBuf};

use super::tending::pause_after;
use super::*;
use crate::models::fake::{FakeLoader, key, key_with, workshop};
use crate::models::{FailureKind, SlotState};
use claw_crds::gateway_config::LoadConfig::{Eager, Lazy, Standby};

struct Fixture {
    loader: Arc<FakeLoader>,
    pool: ModelPool,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with_system(|| None)
    }

    fn with_system(system: fn() -> Option<SystemMemory>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = Arc::new(FakeLoader::default());
        let pool = ModelPool::with_system(
            workshop(&loader, folder.path()),
            TaskTracker::new(),
            CancellationToken::new(),
            system,
        );
        Self {
            loader,
            pool,
            folder,
        }
    }

    fn with_memory(bytes: u64) -> Self {
        let fixture = Self::new();
        fixture.pool.follow(&ModelPoolConfig {
            memory_bytes: Some(bytes),
            ..ModelPoolConfig::default()
        });
        fixture
    }

    /// A model directory that takes so many bytes.
    fn directory(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir(&path).expect("a directory");
        std::fs::write(path.join("bytes"), bytes.to_string()).expect("written");
        path
    }
}

fn close_gate(directory: &Path) {
    std::fs::write(directory.join("gate"), "").expect("written");
}

fn open_gate(directory: &Path) {
    std::fs::remove_file(directory.join("gate")).expect("removed");
}

async fn until(slot: &ModelSlot, wanted: impl Fn(&SlotState) -> bool) -> SlotState {
    let mut states = slot.subscribe();
    let state = states.wait_for(|state| wanted(state)).await;
    state.expect("the slot lives").clone()
}

async fn settled(slot: &ModelSlot) -> SlotState {
    until(slot, |state| {
        matches!(state, SlotState::Ready(..) | SlotState::Failed { .. })
    })
    .await
}

async fn in_state(slot: &ModelSlot, label: &str) {
    until(slot, |state| state.label() == label).await;
}

#[tokio::test]
async fn equal_models_are_loaded_once_and_kept_while_used() {
    let fixture = Fixture::new();
    let source = fixture.directory("model-directory", 1);
    let first = fixture.pool.acquire(key(&source));
    let second = fixture.pool.acquire(key(&source));
    assert!(Arc::ptr_eq(first.shared(), second.shared()));
    assert_eq!(settled(&first).await.label(), "ready");
    assert_eq!(fixture.loader.loads(), 1);
    drop((first, second));
    let again = fixture.pool.acquire(key(&source));
    assert_eq!(settled(&again).await.label(), "ready");
    assert_eq!(
        fixture.loader.loads(),
        2,
        "nothing held it, so it was dropped"
    );
}

#[tokio::test]
async fn a_file_is_imported_once() {
    let fixture = Fixture::new();
    let source = fixture.folder.path().join("model.gguf");
    std::fs::write(&source, "weights").expect("a file");
    for _ in 0..2 {
        let slot = fixture.pool.acquire(key(&source));
        assert_eq!(settled(&slot).await.label(), "ready");
    }
    assert_eq!((fixture.loader.imports(), fixture.loader.loads()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_is_tried_again() {
    let fixture = Fixture::new();
    let source = fixture.folder.path().join("later");
    let slot = fixture.pool.acquire(key(&source));
    let SlotState::Failed {
        error, attempts: 1, ..
    } = settled(&slot).await
    else {
        panic!("no such file")
    };
    assert!(error.contains("later") && error.contains("GGUF"), "{error}");
    std::fs::create_dir(&source).expect("a directory");
    in_state(&slot, "ready").await;
}

#[tokio::test]
async fn a_lazy_model_is_loaded_for_whoever_wants_it() {
    let fixture = Fixture::new();
    let source = fixture.directory("lazy", 1);
    let slot = fixture.pool.acquire(key_with(&source, Lazy));
    in_state(&slot, "standby").await;
    assert_eq!(fixture.loader.loads(), 0);
    assert!(slot.lease().is_none(), "not yet, but wanted now");
    in_state(&slot, "ready").await;
    assert!(slot.lease().is_some());
}

#[tokio::test]
async fn a_standby_model_has_its_files_before_anybody_wants_it() {
    let fixture = Fixture::new();
    let source = fixture.folder.path().join("model.gguf");
    std::fs::write(&source, "weights").expect("a file");
    let slot = fixture.pool.acquire(key_with(&source, Standby));
    in_state(&slot, "standby").await;
    assert_eq!((fixture.loader.imports(), fixture.loader.loads()), (1, 0));
    slot.wake();
    in_state(&slot, "ready").await;
    assert_eq!((fixture.loader.imports(), fixture.loader.loads()), (1, 1));
}

#[tokio::test]
async fn the_lazy_model_that_nobody_used_for_longest_makes_room() {
    let fixture = Fixture::with_memory(100);
    let lazy = |name| {
        let source = fixture.directory(name, 40);
        fixture.pool.acquire(key_with(&source, Lazy))
    };
    let [first, second, third] = ["first", "second", "third"].map(lazy);
    for slot in [&first, &second] {
        slot.wake();
        in_state(slot, "ready").await;
    }
    drop(first.lease().expect("ready, and used last"));
    assert_eq!(fixture.pool.figures().memory, 80);
    third.wake();
    in_state(&third, "ready").await;
    assert_eq!(second.state().label(), "standby");
    assert_eq!(first.state().label(), "ready");
    assert_eq!(fixture.pool.figures().memory, 80);
    // It comes back for whoever wants it, and another one goes.
    second.wake();
    in_state(&second, "ready").await;
}

#[tokio::test]
async fn a_model_in_use_is_never_unloaded() {
    let fixture = Fixture::with_memory(50);
    let used = fixture
        .pool
        .acquire(key_with(&fixture.directory("used", 40), Lazy));
    used.wake();
    in_state(&used, "ready").await;
    let lease = used.lease().expect("ready");
    let other = fixture
        .pool
        .acquire(key_with(&fixture.directory("other", 40), Lazy));
    other.wake();
    in_state(&other, "pending").await;
    assert_eq!(used.state().label(), "ready");
    drop(lease);
    in_state(&other, "ready").await;
    assert_eq!(used.state().label(), "standby");
}

#[tokio::test]
async fn what_does_not_fit_fails_and_leaves_the_others() {
    let fixture = Fixture::with_memory(100);
    let eager = fixture.pool.acquire(key(&fixture.directory("eager", 70)));
    assert!(settled(&eager).await.is_ready());
    for (name, bytes, expected) in [
        ("huge", 101, "may take 100"),
        ("second", 40, "70 of the 100"),
    ] {
        let slot = fixture.pool.acquire(key(&fixture.directory(name, bytes)));
        let SlotState::Failed { error, kind, .. } = settled(&slot).await else {
            panic!("{name} does not fit")
        };
        assert!(error.contains(expected), "{error}");
        assert_eq!(kind, FailureKind::Memory);
    }
    assert!(eager.state().is_ready());
}

#[tokio::test]
async fn a_model_larger_than_what_the_system_has_left_is_refused() {
    let fixture = Fixture::with_system(|| {
        Some(SystemMemory {
            available: 60,
            limit: 100,
        })
    });
    let slot = fixture.pool.acquire(key(&fixture.directory("large", 61)));
    let SlotState::Failed { error, .. } = settled(&slot).await else {
        panic!("it does not fit")
    };
    assert!(error.contains("60 of 100 bytes"), "{error}");
    let slot = fixture.pool.acquire(key(&fixture.directory("small", 60)));
    assert!(settled(&slot).await.is_ready());
}

#[tokio::test]
async fn a_new_version_loads_beside_the_old_one_and_takes_over() {
    let fixture = Fixture::new();
    let (old, new) = (fixture.directory("old", 1), fixture.directory("new", 1));
    close_gate(&new);
    let before = fixture.pool.acquire(key(&old));
    assert!(settled(&before).await.is_ready());
    let in_flight = before.lease().expect("ready");
    let after = fixture.pool.acquire(key(&new));
    after.follow_on(&before);
    drop(before);
    in_state(&after, "loading").await;
    assert!(after.lease().is_some(), "the old one answers");
    assert!(after.can_answer());
    open_gate(&new);
    in_state(&after, "ready").await;
    until(&after, |_| after.predecessor().is_none()).await;
    assert!(after.lease().is_some());
    // Whoever has it, keeps it to the end.
    assert_eq!(in_flight.loaded().info().device, "Fake");
}

#[tokio::test]
async fn a_new_version_that_does_not_load_leaves_the_old_one() {
    let fixture = Fixture::new();
    let (old, new) = (fixture.directory("old", 1), fixture.directory("new", 1));
    std::fs::write(new.join("broken"), "").expect("written");
    let before = fixture.pool.acquire(key(&old));
    assert!(settled(&before).await.is_ready());
    let after = fixture.pool.acquire(key(&new));
    after.follow_on(&before);
    let SlotState::Failed { error, kind, .. } = settled(&after).await else {
        panic!("it is broken")
    };
    assert!(error.contains("the weights are broken"), "{error}");
    assert_eq!(kind, FailureKind::Load);
    assert!(after.lease().is_some(), "the old one answers");
}

#[tokio::test]
async fn an_old_version_makes_room_where_both_do_not_fit() {
    let fixture = Fixture::with_memory(50);
    let (old, new) = (fixture.directory("old", 40), fixture.directory("new", 40));
    let before = fixture.pool.acquire(key(&old));
    assert!(settled(&before).await.is_ready());
    let after = fixture.pool.acquire(key(&new));
    after.follow_on(&before);
    in_state(&after, "ready").await;
    assert!(after.holds_requests(), "nobody was to notice");
    assert_eq!(before.state().label(), "standby");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_ends_is_started_anew() {
    let fixture = Fixture::new();
    let slot = fixture.pool.acquire(key(&fixture.directory("mortal", 1)));
    assert!(settled(&slot).await.is_ready());
    let lease = slot.lease().expect("ready");
    lease.died();
    assert!(matches!(
        slot.state(),
        SlotState::Failed {
            kind: FailureKind::Engine,
            ..
        }
    ));
    drop(lease);
    in_state(&slot, "ready").await;
    assert_eq!(fixture.loader.loads(), 2);
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_any_more_is_given_up() {
    let fixture = Fixture::new();
    let source = fixture.directory("gone", 1);
    close_gate(&source);
    let slot = fixture.pool.acquire(key(&source));
    in_state(&slot, "loading").await;
    drop(slot);
    fixture.pool.tasks.close();
    fixture.pool.tasks.wait().await;
    open_gate(&source);
    assert_eq!(fixture.pool.figures().memory, 0);
}

#[tokio::test]
async fn how_it_is_loaded_is_part_of_what_a_model_is() {
    let fixture = Fixture::new();
    let source = fixture.directory("model", 1);
    let eager = fixture.pool.acquire(key_with(&source, Eager));
    let lazy = fixture.pool.acquire(key_with(&source, Lazy));
    assert!(!Arc::ptr_eq(eager.shared(), lazy.shared()));
}

#[test]
fn pauses_double_up_to_a_limit() {
    assert_eq!(
        [1, 2, 3, 40].map(|attempts| pause_after(attempts).as_secs()),
        [2, 4, 8, 300]
    );
}
