//! What a generation tells its client.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use thiserror::Error;

use crate::{grammar::GrammarError, session::SessionError, tools::ToolCallPiece};

/// Receives a generation's events, on the model's thread. `Break` ends the generation at once.
pub type EventSink = Box<dyn FnMut(Event) -> ControlFlow<()> + Send>;

/// One step of a generation. [`Event::Finished`] or [`Event::Failed`] is the last, exactly once, unless the sink breaks.
#[derive(Debug)]
pub enum Event {
    /// The request's turn has come.
    Started {
        /// The length of its prompt.
        prompt_tokens: usize,
        /// How long it was in the queue.
        waited: Duration,
    },
    /// More text; never a part of a character, never empty.
    Text(String),
    /// More of a call of a tool.
    ToolCall(ToolCallPiece),
    /// How likely a token of the answer was, where that is wanted; its text comes later, perhaps with that of others.
    LogProbabilities(TokenLogProbabilities),
    /// The answer is complete.
    Finished {
        /// Why it ends here.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// The answer cannot be completed.
    Failed(GenerationError),
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// The same, and it calls tools.
    ToolCalls,
    /// It reached `max_tokens`, or the end of the context.
    Length,
}

/// A token and how likely it was, by the model's own distribution: temperature, penalties, biases and grammars change
/// what is chosen, and not this.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogProbability {
    /// The token.
    pub token: u32,
    /// What it stands for; a part of a character perhaps.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub log_probability: f32,
}

/// A token of an answer, among those that were most likely.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogProbabilities {
    /// The token of the answer.
    pub chosen: TokenLogProbability,
    /// As many of the most likely as are wanted, falling.
    pub top: Vec<TokenLogProbability>,
}

/// The tokens of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of those, the ones that did not have to be computed: another prompt began alike.
    pub cached_tokens: usize,
    /// Tokens of the answer, with the one that ended it.
    pub completion_tokens: usize,
}

/// Why a generation failed.
#[derive(Debug, Clone, Error)]
pub enum GenerationError {
    /// The runtime failed, for all answers that were computed together.
    #[error("failed to run the model")]
    Session(#[source] Arc<SessionError>),
    /// The runtime failed with a model that is no decoder alone.
    #[error("failed to run the model")]
    Seq2Seq(#[source] Arc<crate::session::EncoderError>),
    /// The model gives no token that could be chosen.
    #[error("the model computed no token that can be chosen; its weights are damaged")]
    NoToken,
    /// The grammar of the answer has become too large to go on with.
    #[error("the form of the answer is too complex to go on with: {0}; make it simpler")]
    Grammar(#[from] GrammarError),
    /// A fault of ours. The model goes on with the next request.
    #[error("an internal fault ended the generation: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The model was closed first.
    #[error("the model was unloaded before the answer was complete")]
    Closed,
}

impl From<SessionError> for GenerationError {
    fn from(error: SessionError) -> Self {
        Self::Session(Arc::new(error))
    }
}
