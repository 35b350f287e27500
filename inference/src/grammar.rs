//! Answers that follow a grammar: in each step, the tokens that may come next.
//!
//! A grammar is prepared on the thread of who asks for it, never on a model's. What it may cost is bounded three times:
//! by the size of what a client sends (`bounds`), by the work of preparing it, and by the work of each token. The rules
//! of the grammar language are `llguidance`'s.

mod bounds;
mod compiler;
mod source;
mod vocabulary;

use std::fmt;

use llguidance::Matcher;
use thiserror::Error;

pub use bounds::{MAX_CHOICES, MAX_REGEX_BYTES, MAX_SCHEMA_BYTES, MAX_SCHEMA_VALUES};
pub(crate) use compiler::GrammarCompiler;
pub use source::AnswerFormat;
pub(crate) use source::{GrammarSource, json_rule, text_literal};

/// Why a grammar cannot be used, or gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct GrammarError(pub(crate) String);

/// A grammar and how far an answer has come in it.
pub(crate) struct Grammar {
    matcher: Matcher,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Grammar")
            .field("is_complete", &self.matcher.is_stopped())
            .finish_non_exhaustive()
    }
}

impl Grammar {
    /// Leaves only the tokens that may come next; only those that end an answer once it is complete.
    pub(crate) fn restrict(&mut self, logits: &mut [f32]) -> Result<(), GrammarError> {
        let mask = self.matcher.compute_mask_or_eos().map_err(compiler::told)?;
        // A model may have more logits than its tokenizer has tokens.
        let known = mask.len().min(logits.len());
        logits[known..].fill(f32::NEG_INFINITY);
        mask.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
        Ok(())
    }

    /// Goes on by a token that may come next.
    pub(crate) fn commit(&mut self, token: u32) -> Result<(), GrammarError> {
        if self.matcher.is_stopped() {
            // Only the answer's end is left, and needs nothing.
            return Ok(());
        }
        self.matcher.consume_token(token).map_err(compiler::told)
    }
}

#[cfg(test)]
mod tests;
