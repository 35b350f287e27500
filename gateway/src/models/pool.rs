//! The local models of a gateway: each loaded once, for as long as a configuration or a request holds it, and within the
//! memory that all of them share.

mod tending;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use claw_crds::gateway_config::ModelPoolConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cache::{Rules, Usage};
use super::memory::{Memory, SystemMemory};
use super::slot::Shared;
use super::{ModelSlot, SlotKey, Workshop};

/// Shares models among configurations.
pub struct ModelPool {
    house: Arc<House>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What whoever tends a model needs.
pub(super) struct House {
    slots: Mutex<HashMap<SlotKey, Weak<Shared>>>,
    workshop: Workshop,
    memory: Arc<Memory>,
    /// What the system has left.
    system: fn() -> Option<SystemMemory>,
}

/// What a pool takes, and what it may; bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Of the models that are loaded.
    pub memory: u64,
    /// The most of that.
    pub memory_budget: Option<u64>,
    /// Of files.
    pub disk: Usage,
    /// The most of that.
    pub disk_budget: Option<u64>,
}

impl ModelPool {
    /// A pool whose loading runs as `tasks` and ends with `shutdown`.
    pub fn new(workshop: Workshop, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self::with_system(workshop, tasks, shutdown, SystemMemory::now)
    }

    fn with_system(
        workshop: Workshop,
        tasks: TaskTracker,
        shutdown: CancellationToken,
        system: fn() -> Option<SystemMemory>,
    ) -> Self {
        Self {
            house: Arc::new(House {
                slots: Mutex::default(),
                workshop,
                memory: Arc::default(),
                system,
            }),
            tasks,
            shutdown,
        }
    }

    /// Keep to these limits from now on.
    pub fn follow(&self, config: &ModelPoolConfig) {
        let ModelPoolConfig {
            memory_bytes,
            disk_bytes,
            offline,
        } = *config;
        self.house.memory.set_budget(memory_bytes);
        self.house.workshop.set_rules(Rules {
            budget: disk_bytes,
            offline,
        });
    }

    /// What it takes.
    pub fn figures(&self) -> PoolFigures {
        let (memory, memory_budget) = self.house.memory.figures();
        let (disk, disk_budget) = self.house.workshop.disk();
        PoolFigures {
            memory,
            memory_budget,
            disk,
            disk_budget,
        }
    }

    /// A slot of a model; a new model begins to load at once, unless it is loaded on demand. Needs a runtime.
    pub fn acquire(&self, key: SlotKey) -> Arc<ModelSlot> {
        let mut slots = self.house.lock();
        slots.retain(|_, slot| slot.strong_count() > 0);
        // A new credential is no reason to load anew what answers.
        let plain = key.without_credentials();
        let is_same = |shared: &Arc<Shared>| {
            let inner = &shared.inner;
            inner.state.borrow().is_ready() && inner.key.without_credentials() == plain
        };
        let known = slots.get(&key).and_then(Weak::upgrade);
        let known = known.or_else(|| slots.values().filter_map(Weak::upgrade).find(is_same));
        if let Some(shared) = known {
            shared.inner.reinstate();
            return Arc::new(ModelSlot::of(shared));
        }
        let released = Arc::clone(&self.house.memory.freed);
        let shared = Arc::new(Shared::new(key.clone(), released));
        slots.insert(key, Arc::downgrade(&shared));
        drop(slots);
        self.tend(&shared);
        Arc::new(ModelSlot::of(shared))
    }

    fn tend(&self, shared: &Shared) {
        let (house, inner) = (Arc::clone(&self.house), Arc::clone(&shared.inner));
        let (cancelled, shutdown) = (inner.cancelled.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                // Nobody wants it any more.
                () = cancelled.cancelled() => {}
                () = shutdown.cancelled() => {}
                () = tending::tend(&house, &inner) => {}
            }
        });
    }
}

impl House {
    /// A map of weak pointers is whole after every statement, so a panic elsewhere broke nothing.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SlotKey, Weak<Shared>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn freed(&self) -> Arc<Notify> {
        Arc::clone(&self.memory.freed)
    }
}

#[cfg(test)]
mod tests;
