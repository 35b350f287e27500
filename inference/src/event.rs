//! What a generation tells its client.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use thiserror::Error;

use crate::session::SessionError;

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
    /// It reached `max_tokens`, or the end of the context.
    Length,
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
    /// The model gives no token that could be chosen.
    #[error("the model computed no token that can be chosen; its weights are damaged")]
    NoToken,
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
