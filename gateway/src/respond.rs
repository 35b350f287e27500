//! The seam between channels and models: a conversation goes in, a stream of text comes out.
//!
//! Channels know nothing of providers, fallbacks or engines; the dispatcher behind [`Respond`] does.

use std::pin::Pin;

use futures::Stream;
use futures::future::BoxFuture;

use crate::error::GatewayError;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the operator.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The next piece of text, never empty.
    Text(String),
    /// The end of the answer.
    Done {
        /// The gateway's name of the model that answered, which is a fallback's when the first choice failed.
        model: String,
        /// Tokens of the conversation as the model counted them.
        prompt_tokens: u64,
        /// Tokens of the answer.
        completion_tokens: u64,
        /// Why the answer ended: `stop`, `length`, …
        finish_reason: String,
    },
}

/// An answer as it comes. An `Err` is the last item; dropping the stream cancels the generation.
pub type ReplyStream = Pin<Box<dyn Stream<Item = Result<Reply, GatewayError>> + Send>>;

/// Something that answers conversations.
pub trait Respond: Send + Sync + 'static {
    /// Answer with the model of that name, or with its fallback where it is down. Resolves with the first piece of
    /// text at hand, so an `Err` here means that nothing was said yet.
    fn respond(
        &self,
        model: &str,
        messages: Vec<ChatMessage>,
    ) -> BoxFuture<'_, Result<ReplyStream, GatewayError>>;
}
