//! Whom a request is converted for, and how it is refused.

use crate::error::GatewayError;

/// A model behind an API of another dialect.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The gateway's name of the model.
    pub name: &'a str,
    /// The name that the API knows.
    pub model: &'a str,
    /// Whose API it is.
    pub provider: &'static str,
}

impl Target<'_> {
    /// The API has no way to say what this field asks for.
    pub(super) fn unsupported(&self, field: impl Into<String>, remedy: &str) -> GatewayError {
        GatewayError::UnsupportedByProvider {
            model: self.name.to_owned(),
            provider: self.provider,
            field: field.into(),
            remedy: remedy.to_owned(),
        }
    }
}
