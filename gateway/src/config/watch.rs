//! Tells when a configuration may have changed. What has changed, reading it again shows.

mod files;
mod secret;

pub use files::FileWatch;
pub use secret::{SecretWatch, SecretWatchError};
