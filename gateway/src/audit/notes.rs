//! What the inner layers learn of a request, for its record: they say it wherever they are, and `observe` picks it up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::types::Usage;

tokio::task_local! {
    /// Set while the request is worked on, its body included.
    pub static NOTES: Arc<Notes>;
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Notes {
    reason: OnceLock<&'static str>,
    has_tokens: AtomicBool,
    prompt: AtomicU64,
    completion: AtomicU64,
}

impl Notes {
    /// The first reason given.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason.get().copied()
    }

    /// Prompt and completion tokens, where any were counted.
    pub fn tokens(&self) -> Option<(u64, u64)> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.has_tokens
            .load(Ordering::Relaxed)
            .then(|| (load(&self.prompt), load(&self.completion)))
    }
}

/// Why the request under way fails.
pub fn reason(reason: &'static str) {
    // Outside of requests nobody asks.
    let _ = NOTES.try_with(|notes| {
        // The first one is the cause, later ones follow from it.
        let _ = notes.reason.set(reason);
    });
}

/// What the request under way has cost.
pub fn tokens(usage: &Usage) {
    let _ = NOTES.try_with(|notes| {
        notes.has_tokens.store(true, Ordering::Relaxed);
        notes
            .prompt
            .fetch_add(usage.prompt_tokens, Ordering::Relaxed);
        notes
            .completion
            .fetch_add(usage.completion_tokens, Ordering::Relaxed);
    });
}
