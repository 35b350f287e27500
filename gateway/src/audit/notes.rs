//! What the inner layers learn of a request, for its record: they say it wherever they are, and `observe` picks it up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::content::Content;
use crate::types::{ChatRequest, Content as ChatContent, Message, Usage};

tokio::task_local! {
    /// Set while the request is worked on, its body included.
    pub static NOTES: Arc<Notes>;
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Notes {
    caller: OnceLock<Arc<str>>,
    model: OnceLock<String>,
    route: OnceLock<String>,
    reason: OnceLock<&'static str>,
    has_tokens: AtomicBool,
    prompt: AtomicU64,
    completion: AtomicU64,
    content: Option<Mutex<Content>>,
}

impl Notes {
    /// Of a request whose record is to hold what was said, or not.
    pub fn new(with_content: bool) -> Self {
        Self {
            content: with_content.then(Mutex::default),
            ..Self::default()
        }
    }

    /// What was said, once everything was.
    pub fn take_content(&self) -> Option<Content> {
        let content = self.content.as_ref()?;
        let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut *content))
    }

    /// Who asks, once that is known.
    pub fn caller(&self) -> Option<&Arc<str>> {
        self.caller.get()
    }

    /// The model that answers.
    pub fn model(&self) -> Option<&str> {
        self.model.get().map(String::as_str)
    }

    /// The rule that chose it.
    pub fn route(&self) -> Option<&str> {
        self.route.get().map(String::as_str)
    }

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

/// Who sent the request under way.
pub fn caller(name: &Arc<str>) {
    // Outside of requests nobody asks.
    let _ = NOTES.try_with(|notes| notes.caller.set(Arc::clone(name)));
}

/// Which model answers it, and which rule chose that one.
pub fn answered_by(model: String, route: Option<String>) {
    let _ = NOTES.try_with(|notes| {
        // Nobody answers twice.
        let _ = notes.model.set(model);
        if let Some(route) = route {
            let _ = notes.route.set(route);
        }
    });
}

/// Why the request under way fails.
pub fn reason(reason: &'static str) {
    // Outside of requests nobody asks.
    let _ = NOTES.try_with(|notes| {
        // The first one is the cause, later ones follow from it.
        let _ = notes.reason.set(reason);
    });
}

/// Whether the record of the request under way is to hold what was said.
pub fn wants_content() -> bool {
    NOTES
        .try_with(|notes| notes.content.is_some())
        .unwrap_or_default()
}

/// What was asked.
pub fn asked(request: &ChatRequest) {
    said(|content| {
        let messages = request.messages.iter();
        content.ask(messages.map(|message| match &message.content {
            ChatContent::Text(text) => (message.role, text.as_str()),
            ChatContent::Other(_) | ChatContent::Absent => (message.role, ""),
        }));
        let is_other = |message: &Message| matches!(message.content, ChatContent::Other(_));
        if request.messages.iter().any(is_other) {
            content.leave_out();
        }
    });
}

/// A piece of an answer, or a whole one.
pub fn answered(number: u32, text: &str) {
    said(|content| content.answer(usize::try_from(number).unwrap_or(usize::MAX), text));
}

fn said(note: impl FnOnce(&mut Content)) {
    let _ = NOTES.try_with(|notes| {
        if let Some(content) = &notes.content {
            note(&mut content.lock().unwrap_or_else(PoisonError::into_inner));
        }
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
