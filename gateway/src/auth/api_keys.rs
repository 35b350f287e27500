//! Callers with API keys.

use std::sync::Arc;

use claw_crds::gateway_config::{ApiKeyConfig, BudgetConfig};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Caller, Grant};

/// A key entry that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "auth.apiKeys entry {name:?}: sha256 is not 64 hexadecimal digits; write the SHA-256 of the key"
)]
pub struct InvalidKey {
    name: String,
}

/// Every API key, as the gateway knows it.
#[derive(Debug)]
pub(super) struct ApiKeys(Vec<HashedKey>);

#[derive(Debug)]
struct HashedKey {
    caller: Caller,
    sha256: [u8; 32],
}

impl ApiKeys {
    pub(super) fn new(configs: &[ApiKeyConfig]) -> Result<Self, InvalidKey> {
        configs
            .iter()
            .map(HashedKey::new)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what some of them use has to be remembered.
    pub(super) fn need_state(&self) -> bool {
        let limits = self.0.iter().filter_map(|key| key.caller.grant.limits());
        limits.into_iter().any(BudgetConfig::needs_state)
    }

    /// The holder of the key with this SHA-256.
    pub(super) fn holder(&self, digest: &[u8; 32]) -> Option<&Caller> {
        // Every key is compared, so that the time taken does not tell which one was near.
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.matches(digest)) {
                found = Some(&key.caller);
            }
        }
        found
    }
}

impl HashedKey {
    fn new(config: &ApiKeyConfig) -> Result<Self, InvalidKey> {
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&config.sha256, &mut sha256).map_err(|_| InvalidKey {
            name: config.name.clone(),
        })?;
        let caller = Caller {
            name: config.name.as_str().into(),
            grant: Arc::new(Grant::new(config.grant.clone())),
        };
        Ok(Self { caller, sha256 })
    }

    fn matches(&self, digest: &[u8; 32]) -> Choice {
        self.sha256.ct_eq(digest)
    }
}

/// Lower-case hexadecimal SHA-256 of a key, as configurations hold it.
pub fn hash_key(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}
