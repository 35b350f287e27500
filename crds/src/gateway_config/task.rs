//! What a model does, as stored.

use serde::{Deserialize, Serialize};

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskConfig {
    /// Answers a conversation.
    #[default]
    Chat,
    /// Summarizes a text.
    Summarize,
    /// Turns texts into vectors.
    Embed,
    /// Sorts documents.
    Rerank,
}

impl TaskConfig {
    /// Its name, as objects say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "Chat",
            Self::Summarize => "Summarize",
            Self::Embed => "Embed",
            Self::Rerank => "Rerank",
        }
    }

    /// Whether it is what models do that nothing is said of.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a model that does this can do that as well: whoever chats can summarize, and the other way round.
    pub const fn can(self, task: Self) -> bool {
        match task {
            Self::Chat | Self::Summarize => self.can_chat(),
            Self::Embed => matches!(self, Self::Embed),
            Self::Rerank => matches!(self, Self::Rerank),
        }
    }

    /// Whether a model that does this answers conversations.
    pub const fn can_chat(self) -> bool {
        matches!(self, Self::Chat | Self::Summarize)
    }
}
