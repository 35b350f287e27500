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
            // What was found complete can be read, unless it is too deep.
            Self::Sent(sent) => sent.read().map_err(|_| GatewayError::UpstreamMalformed {
                model: sent.model.unwrap_or_default(),
                what: "no chat completion",
            }),
        }
    }
}

impl From<ChatCompletion> for WholeAnswer {
    fn from(completion: ChatCompletion) -> Self {
        Self::Read(Box::new(completion))
    }
}
