//! How much memory models may take together, and how much there is.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::metrics::ControlGroup;

/// What one model takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Its weights.
    pub weights: u64,
    /// Room for conversations.
    pub cache: u64,
}

impl MemoryNeed {
    /// Both.
    pub const fn bytes(self) -> u64 {
        self.weights.saturating_add(self.cache)
    }
}

/// Why a model may not be loaded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MemoryError {
    /// It alone is more than all may take.
    #[error(
        "the model takes {} bytes ({} of weights, {} for conversations), and all models together may take {budget}: raise \
         spec.modelPool.memory (--model-memory), or choose a smaller quantization or contextLength", need.bytes(), need.weights, need.cache
    )]
    TooLarge {
        /// What it takes.
        need: MemoryNeed,
        /// What there may be.
        budget: u64,
    },
    /// The others do not go.
    #[error(
        "the model takes {} bytes, and {used} of the {budget} that all models together may take are in use by models that \
         are always loaded: raise spec.modelPool.memory (--model-memory), or set load: Lazy for some of them", need.bytes()
    )]
    Occupied {
        /// What it takes.
        need: MemoryNeed,
        /// What is taken.
        used: u64,
        /// What there may be.
        budget: u64,
    },
    /// The container, or the machine, has less.
    #[error(
        "the model takes {} bytes ({} of weights, {} for conversations), and {available} of {limit} bytes of memory are \
         left for this process: raise spec.resources.memory, or choose a smaller quantization or contextLength",
         need.bytes(), need.weights, need.cache
    )]
    Short {
        /// What it takes.
        need: MemoryNeed,
        /// What is left.
        available: u64,
        /// What there is.
        limit: u64,
    },
}

/// What models take, and what they may.
#[derive(Debug, Default)]
pub(super) struct Memory {
    account: Mutex<Account>,
    /// Something changed for those who wait.
    pub(super) freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Account {
    budget: Option<u64>,
    used: u64,
}

/// Memory that is set aside, until it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Memory {
    /// The most that all take together from now on. What is loaded stays.
    pub(super) fn set_budget(&self, budget: Option<u64>) {
        self.lock().budget = budget;
        self.freed.notify_waiters();
    }

    /// What is taken, and what may be.
    pub(super) fn figures(&self) -> (u64, Option<u64>) {
        let account = self.lock();
        (account.used, account.budget)
    }

    /// Set memory aside, if there is enough.
    pub(super) fn reserve(self: &Arc<Self>, need: MemoryNeed) -> Result<Reservation, MemoryError> {
        let bytes = need.bytes();
        let mut account = self.lock();
        let used = account.used;
        match account.budget {
            Some(budget) if bytes > budget => return Err(MemoryError::TooLarge { need, budget }),
            Some(budget) if used.saturating_add(bytes) > budget => {
                return Err(MemoryError::Occupied { need, used, budget });
            }
            Some(_) | None => account.used = used.saturating_add(bytes),
        }
        drop(account);
        Ok(Reservation {
            memory: Arc::clone(self),
            bytes,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut account = self.memory.lock();
        account.used = account.used.saturating_sub(self.bytes);
        drop(account);
        self.memory.freed.notify_waiters();
    }
}

/// What the system says of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SystemMemory {
    /// What is left for this process.
    pub(super) available: u64,
    /// What there is.
    pub(super) limit: u64,
}

impl SystemMemory {
    /// As it is now; `None` where the system does not tell.
    pub(super) fn now() -> Option<Self> {
        let of_machine = || {
            let text = std::fs::read_to_string("/proc/meminfo").ok()?;
            Some(Self {
                available: kibibytes(&text, "MemAvailable:")?,
                limit: kibibytes(&text, "MemTotal:")?,
            })
        };
        let of_group = || {
            let limit = ControlGroup::own().memory_limit()?;
            let text = std::fs::read_to_string("/proc/self/status").ok()?;
            // What is mapped from files, the kernel takes back when it needs to.
            let taken = kibibytes(&text, "RssAnon:")?;
            Some(Self {
                available: limit.saturating_sub(taken),
                limit,
            })
        };
        [of_machine(), of_group()]
            .into_iter()
            .flatten()
            .min_by_key(|memory| memory.available)
    }

    /// Whether a model fits.
    pub(super) fn check(self, need: MemoryNeed) -> Result<(), MemoryError> {
        let Self { available, limit } = self;
        if need.bytes() <= available {
            return Ok(());
        }
        Err(MemoryError::Short {
            need,
            available,
            limit,
        })
    }
}

/// A line such as `MemTotal:  16384 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: MemoryNeed = MemoryNeed {
        weights: 60,
        cache: 10,
    };

    #[test]
    fn memory_is_set_aside_and_given_back() {
        let memory = Arc::new(Memory::default());
        memory.set_budget(Some(100));
        let first = memory.reserve(NEED).expect("room");
        let error = memory.reserve(NEED).expect_err("occupied");
        assert_eq!(
            error,
            MemoryError::Occupied {
                need: NEED,
                used: 70,
                budget: 100
            }
        );
        drop(first);
        memory.reserve(NEED).expect("room again");
    }

    #[test]
    fn what_never_fits_is_told_at_once() {
        let memory = Arc::new(Memory::default());
        memory.set_budget(Some(50));
        let error = memory.reserve(NEED).expect_err("too large");
        assert!(
            error.to_string().contains("70 bytes (60 of weights"),
            "{error}"
        );
        let limited = SystemMemory {
            available: 69,
            limit: 1000,
        };
        let error = limited.check(NEED).expect_err("short").to_string();
        assert!(
            error.contains("69 of 1000 bytes") && error.contains("spec.resources.memory"),
            "{error}"
        );
    }

    #[test]
    fn this_machine_tells_what_it_has() {
        let memory = SystemMemory::now().expect("Linux");
        assert!(memory.available <= memory.limit && memory.limit > 1 << 20);
    }
}
