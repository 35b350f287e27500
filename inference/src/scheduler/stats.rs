//! What a model's thread tells of its work, to be read at any time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::prefix_cache::PrefixCache;

/// The work of a loaded model so far, and at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelStats {
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Requests that are being answered.
    pub active: usize,
    /// Bytes of attention cache that the active ones have.
    pub kv_bytes: usize,
    /// Answers that had to be computed again, as there was no memory for them beside others.
    pub restarts: u64,
    /// Prompts that were looked up among the kept ones.
    pub prefix_lookups: u64,
    /// Of those, prompts whose beginning was there.
    pub prefix_hits: u64,
    /// Tokens of prompts that were there.
    pub prefix_tokens: u64,
    /// Bytes of attention cache of prompts that are kept.
    pub prefix_bytes: usize,
    /// Blocks of prompts that made room for others.
    pub prefix_evictions: u64,
    /// Tokens that were guessed.
    pub guessed_tokens: u64,
    /// Of those, the ones that came.
    pub accepted_tokens: u64,
}

/// Guessed tokens.
#[derive(Debug, Default)]
pub(super) struct Speculated {
    guessed: AtomicU64,
    accepted: AtomicU64,
}

impl Speculated {
    pub(super) fn add(&self, guessed: usize, accepted: usize) {
        self.guessed.fetch_add(guessed as u64, Relaxed);
        self.accepted.fetch_add(accepted as u64, Relaxed);
    }
}

/// Where the model's thread writes it.
#[derive(Debug, Default)]
pub(super) struct Stats {
    active: AtomicUsize,
    kv_bytes: AtomicUsize,
    restarts: AtomicU64,
    prefix_lookups: AtomicU64,
    prefix_hits: AtomicU64,
    prefix_tokens: AtomicU64,
    prefix_bytes: AtomicUsize,
    prefix_evictions: AtomicU64,
    pub(super) speculated: Speculated,
}

impl Stats {
    pub(super) fn working(&self, active: usize, kv_bytes: usize) {
        self.active.store(active, Relaxed);
        self.kv_bytes.store(kv_bytes, Relaxed);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    pub(super) fn prefixes<V>(&self, cache: &PrefixCache<V>) {
        let counts = cache.counts();
        self.prefix_lookups.store(counts.lookups, Relaxed);
        self.prefix_hits.store(counts.hits, Relaxed);
        self.prefix_tokens.store(counts.tokens, Relaxed);
        self.prefix_evictions.store(counts.evictions, Relaxed);
        self.prefix_bytes.store(cache.bytes(), Relaxed);
    }

    pub(super) fn read(&self, waiting: usize) -> ModelStats {
        ModelStats {
            waiting,
            active: self.active.load(Relaxed),
            kv_bytes: self.kv_bytes.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            prefix_lookups: self.prefix_lookups.load(Relaxed),
            prefix_hits: self.prefix_hits.load(Relaxed),
            prefix_tokens: self.prefix_tokens.load(Relaxed),
            prefix_bytes: self.prefix_bytes.load(Relaxed),
            prefix_evictions: self.prefix_evictions.load(Relaxed),
            guessed_tokens: self.speculated.guessed.load(Relaxed),
            accepted_tokens: self.speculated.accepted.load(Relaxed),
        }
    }
}
