//! The place of one local model: what it is made of, how far it is, and who uses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use claw_crds::gateway_config::{
    DeviceConfig, LoadConfig, LocalModelConfig, SourceConfig, TaskConfig,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::cache::Progress;
use super::memory::Reservation;
use super::preparation::Files;
use super::state::SlotState;
use super::{EngineInfo, Loaded};

/// What makes two models the same: nothing is loaded twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// Files, quantization, context.
    pub model: LocalModelConfig,
    /// Where it runs.
    pub device: DeviceConfig,
    /// What it is asked for.
    pub task: TaskConfig,
}

/// A local model under one name, from its first mention to the last request that uses it.
///
/// Configurations and requests share it, and names with the same files share what is loaded; with the last of them it
/// goes, and its loading is cancelled.
pub struct ModelSlot {
    shared: Arc<Shared>,
    /// What the name stood for before, and answers until this one can.
    predecessor: Mutex<Option<Arc<Self>>>,
    /// Whether there was one.
    is_successor: AtomicBool,
}

/// What names with the same files share.
pub(super) struct Shared {
    pub(super) inner: Arc<Inner>,
    _cancel_on_drop: DropGuard,
}

/// What whoever tends the model needs, without keeping it alive.
pub(super) struct Inner {
    pub(super) key: SlotKey,
    pub(super) state: watch::Sender<SlotState>,
    pub(super) cancelled: CancellationToken,
    /// Somebody wants it that is not loaded. Changes while the state is locked.
    is_wanted: AtomicBool,
    wanted: Notify,
    /// It failed a moment ago, and is left alone.
    pub(super) is_resting: AtomicBool,
    /// Somebody is done with a model of this pool.
    released: Arc<Notify>,
    last_used: Mutex<Instant>,
    /// Memory that is set aside, and files that stay, while it is loaded.
    resident: Mutex<Option<(Reservation, Files)>>,
    /// Only what its successor stands in for still asks it.
    is_retired: AtomicBool,
    /// Whose predecessors go when it is ready.
    successors: Mutex<Vec<Weak<ModelSlot>>>,
}

/// A model that stays loaded while this is held.
pub struct Lease {
    loaded: Option<Loaded>,
    inner: Arc<Inner>,
}

impl SlotKey {
    /// The same whoever asks for the files.
    pub(super) fn without_credentials(&self) -> Self {
        let mut key = self.clone();
        match &mut key.model.source {
            SourceConfig::Path(_) | SourceConfig::Http { .. } => {}
            SourceConfig::HuggingFace(hub) => hub.token = None,
            SourceConfig::S3(s3) => s3.credentials = None,
            SourceConfig::Oci(oci) => oci.credentials = None,
        }
        key
    }
}

impl ModelSlot {
    /// A place of its own, which nobody tends.
    #[cfg(test)]
    pub(crate) fn new(key: SlotKey) -> Self {
        Self::of(Arc::new(Shared::new(key, Arc::default())))
    }

    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            predecessor: Mutex::default(),
            is_successor: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What it is made of.
    pub fn key(&self) -> &SlotKey {
        &self.shared.inner.key
    }

    /// Whether it is loaded only when somebody wants it.
    pub fn is_on_demand(&self) -> bool {
        self.key().model.load != LoadConfig::Eager
    }

    /// How far it is now.
    pub fn state(&self) -> SlotState {
        self.shared.inner.state.borrow().clone()
    }

    /// Follow its progress.
    pub fn subscribe(&self) -> watch::Receiver<SlotState> {
        self.shared.inner.state.subscribe()
    }

    /// Ask for it to be loaded, where it is not.
    pub fn wake(&self) {
        self.shared.inner.wake();
    }

    /// Whether requests wait for it, rather than be told to come again.
    pub fn holds_requests(&self) -> bool {
        self.is_on_demand() || self.is_successor.load(Ordering::Relaxed)
    }

    /// Whether it failed a moment ago and is not tried again yet.
    pub fn is_resting(&self) -> bool {
        self.shared.inner.is_resting.load(Ordering::Relaxed)
    }

    /// A name stands for it, whatever stood for it before.
    pub fn reinstate(&self) {
        self.shared.inner.reinstate();
    }

    /// An engine that can answer now: its own, or that of what the name stood for before. Where it is not its own, it is
    /// asked for.
    pub fn lease(&self) -> Option<Lease> {
        if let Some(lease) = Inner::lease(&self.shared.inner) {
            return Some(lease);
        }
        self.wake();
        Inner::lease(&self.predecessor()?.shared.inner)
    }

    /// Whether a request would be answered at once.
    pub fn can_answer(&self) -> bool {
        let before = || {
            self.predecessor()
                .is_some_and(|before| before.state().is_ready())
        };
        self.shared.inner.state.borrow().is_ready() || before()
    }

    /// What answers until this one can, while that is so.
    pub fn predecessor(&self) -> Option<Arc<Self>> {
        let predecessor = self.lock_predecessor();
        predecessor.clone()
    }

    /// Take over from what the name stood for before: that goes on answering until this one is ready.
    pub fn follow_on(self: &Arc<Self>, before: &Arc<Self>) {
        let predecessor = if Arc::ptr_eq(&self.shared, &before.shared) {
            before.predecessor()
        } else if before.state().is_ready() {
            Some(Arc::clone(before))
        } else {
            before.predecessor()
        };
        let Some(predecessor) = predecessor else {
            return;
        };
        predecessor
            .shared
            .inner
            .is_retired
            .store(true, Ordering::Relaxed);
        self.is_successor.store(true, Ordering::Relaxed);
        *self.lock_predecessor() = Some(predecessor);
        let mut successors = self.shared.inner.lock_successors();
        successors.retain(|slot| slot.strong_count() > 0);
        successors.push(Arc::downgrade(self));
        drop(successors);
        // It may have become ready meanwhile.
        if self.state().is_ready() {
            self.retire_predecessor();
        }
    }

    /// What it was before answers nothing new any more.
    fn retire_predecessor(&self) {
        drop(self.lock_predecessor().take());
    }

    fn lock_predecessor(&self) -> std::sync::MutexGuard<'_, Option<Arc<Self>>> {
        self.predecessor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(super) fn new(key: SlotKey, released: Arc<Notify>) -> Self {
        let cancelled = CancellationToken::new();
        Self {
            _cancel_on_drop: cancelled.clone().drop_guard(),
            inner: Arc::new(Inner {
                key,
                state: watch::Sender::new(SlotState::Pending),
                cancelled,
                is_wanted: AtomicBool::new(false),
                wanted: Notify::new(),
                is_resting: AtomicBool::new(false),
                released,
                last_used: Mutex::new(Instant::now()),
                resident: Mutex::default(),
                is_retired: AtomicBool::new(false),
                successors: Mutex::default(),
            }),
        }
    }
}

impl Inner {
    /// The engine, where it is loaded.
    fn lease(this: &Arc<Self>) -> Option<Lease> {
        let state = this.state.borrow();
        let SlotState::Ready(loaded, _) = &*state else {
            return None;
        };
        // While the state is borrowed: whoever unloads it counts who has it, with the state to itself.
        let loaded = Some(loaded.clone());
        this.touch();
        Some(Lease {
            loaded,
            inner: Arc::clone(this),
        })
    }

    /// Somebody wants it.
    fn wake(&self) {
        self.state.send_if_modified(|state| {
            if !state.is_ready() {
                self.is_wanted.store(true, Ordering::Relaxed);
            }
            false
        });
        self.wanted.notify_one();
    }

    /// Until somebody wants it.
    pub(super) async fn wanted(&self) {
        while !self.is_wanted.swap(false, Ordering::Relaxed) {
            self.wanted.notified().await;
        }
    }

    /// Whether it may be unloaded while nobody uses it.
    pub(super) fn may_be_unloaded(&self) -> bool {
        self.key.model.load != LoadConfig::Eager || self.is_retired.load(Ordering::Relaxed)
    }

    /// It is what a name stands for again.
    pub(super) fn reinstate(&self) {
        self.is_retired.store(false, Ordering::Relaxed);
    }

    /// It answers from now on, with what it takes.
    pub(super) fn ready(&self, loaded: Loaded, info: EngineInfo, takes: (Reservation, Files)) {
        self.touch();
        *self.lock_resident() = Some(takes);
        self.state.send_modify(|state| {
            self.is_wanted.store(false, Ordering::Relaxed);
            *state = SlotState::Ready(loaded, info);
        });
        for slot in self.lock_successors().drain(..) {
            if let Some(slot) = slot.upgrade() {
                slot.retire_predecessor();
            }
        }
    }

    /// Unload it, unless somebody uses it. Gives the model, for whoever may wait for its end.
    pub(super) fn unload(&self) -> Option<Loaded> {
        let mut unloaded = None;
        self.state.send_if_modified(|state| {
            let is_idle = matches!(state, SlotState::Ready(loaded, _) if loaded.is_unshared());
            if is_idle
                && let SlotState::Ready(loaded, _) = std::mem::replace(state, SlotState::Standby)
            {
                unloaded = Some(loaded);
            }
            is_idle
        });
        if unloaded.is_some() {
            self.give_back();
        }
        unloaded
    }

    /// When it was used last.
    pub(super) fn last_used(&self) -> Instant {
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// It takes nothing any more.
    pub(super) fn give_back(&self) {
        drop(self.lock_resident().take());
    }

    fn lock_resident(&self) -> std::sync::MutexGuard<'_, Option<(Reservation, Files)>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_successors(&self) -> std::sync::MutexGuard<'_, Vec<Weak<ModelSlot>>> {
        self.successors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// What is asked. Who clones it drops it before the lease, which tells whoever waits for its end.
    pub fn loaded(&self) -> &Loaded {
        self.loaded
            .as_ref()
            .expect("it is there until it is dropped")
    }

    /// The engine is gone, though nobody unloaded it: load it anew.
    pub fn died(&self) {
        let inner = &self.inner;
        inner.state.send_if_modified(|state| {
            let is_this = match (&*state, &self.loaded) {
                (SlotState::Ready(loaded, _), Some(ours)) => loaded.is(ours),
                _ => false,
            };
            if is_this {
                *state = SlotState::Failed {
                    kind: super::state::FailureKind::Engine,
                    error: "the engine ended while it was loaded, and is started anew".to_owned(),
                    attempts: 1,
                    retry_in: Duration::ZERO,
                };
            }
            is_this
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.loaded.take());
        self.inner.touch();
        self.inner.released.notify_waiters();
    }
}

impl std::fmt::Debug for ModelSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelSlot")
            .field("key", self.key())
            .field("state", &self.state().label())
            .finish_non_exhaustive()
    }
}

/// How far fetching is, as the state has it.
impl From<Progress> for SlotState {
    fn from(progress: Progress) -> Self {
        Self::Fetching(progress)
    }
}
