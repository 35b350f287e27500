//! The configuration a gateway runs on: where it comes from, how it is checked whole, and how it is swapped.
//!
//! A configuration that does not check is refused with every problem named, and the last good one serves on.

mod certificate;
mod model_entry;
pub mod reload;
mod runtime;
pub mod source;
pub mod watch;

#[cfg(test)]
pub(crate) mod fixture;

pub use certificate::Certificate;
pub use model_entry::{Backend, ModelEntry, Remote};
pub use runtime::{Prepared, RuntimeConfig, SharedRuntime, prepare};

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {}", problems.join("; "))]
pub struct ConfigError {
    /// Where it came from.
    pub origin: String,
    /// One line each: object, field, value, remedy.
    pub problems: Vec<String>,
}

impl ConfigError {
    /// A single problem.
    pub fn new(origin: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            problems: vec![problem.into()],
        }
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    // Some causes (regular expressions) draw pictures over several lines.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
