//! Where the keys come from.

use std::sync::Arc;

use claw_crds::gateway_config::Redacted;

use super::MailboxError;
use crate::store::{KeyFile, Vault};

/// The keys that are given, and the key file of a state directory.
#[derive(Clone, Debug)]
pub struct Keys {
    given: Vec<Redacted>,
    file: Option<KeyFile>,
}

impl Keys {
    /// The keys that are given, newest first; without any, the file's, which is made if there is none. A file that is
    /// there opens what was encrypted before keys were given.
    pub fn new(given: Vec<Redacted>, file: Option<KeyFile>) -> Self {
        Self { given, file }
    }

    pub(super) fn vault(&self) -> Result<Arc<Vault>, MailboxError> {
        let mut keys = self.given.clone();
        if let Some(file) = &self.file {
            if keys.is_empty() {
                keys.push(file.read_or_make()?);
            } else {
                keys.extend(file.read()?);
            }
        }
        Ok(Arc::new(Vault::new(&keys)?))
    }
}
