//! Where conversations are kept.

use serde::{Deserialize, Serialize};

use super::Redacted;

/// Where the messages of channels, their answers and what was said before are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ConversationsConfig {
    /// In the memory of the process.
    #[default]
    Memory,
    /// In the database of the state, encrypted.
    Stored {
        /// 32 bytes each, in base64: the first one encrypts, all decrypt. Without any, a file in the state directory
        /// has one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<Redacted>,
    },
    /// Asked for, but not to be had: what needs it is refused.
    Unavailable {
        /// What is wrong, without any secret.
        reason: String,
    },
}

impl ConversationsConfig {
    /// Whether it is what is used when nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
