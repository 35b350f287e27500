//! A whole answer, read or not.

use super::{ChatCompletion, SentAnswer};
use crate::error::GatewayError;

/// A whole answer in OpenAI's form.
#[derive(Clone, Debug, PartialEq)]
pub enum WholeAnswer {
    /// Field by field.
    Read(Box<ChatCompletion>),
    /// In the bytes of its API.
    Sent(Box<SentAnswer>),
}

impl WholeAnswer {
    /// For those who make something else of it.
    pub fn read(self) -> Result<ChatCompletion, GatewayError> {
        match self {
            Self::Read(completion) => Ok(*completion),
            Self::Sent(sent) => sent.read(sent.model.as_deref().unwrap_or_default()),
        }
    }
}

impl From<ChatCompletion> for WholeAnswer {
    fn from(completion: ChatCompletion) -> Self {
        Self::Read(Box::new(completion))
    }
}
