//! Who a caller is. Pure: headers and keys in, a name or a refusal out.
//!
//! Denies by default; it does not decide what a known caller may do.

use std::sync::Arc;

use claw_crds::gateway_config::{ApiKeyConfig, AuthConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::RuntimeConfig;
use crate::error::GatewayError;

/// The name of callers without a key, where the configuration lets them in.
pub const ANONYMOUS: &str = "anonymous";

/// A caller who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `<secret>/<key>` of the API key, or [`ANONYMOUS`].
    pub name: Arc<str>,
}

/// Who is let in.
#[derive(Debug)]
pub enum AccessPolicy {
    /// Everyone.
    Anonymous,
    /// Holders of one of these keys.
    ApiKeys(Vec<HashedKey>),
}

/// An API key as the gateway knows it.
#[derive(Debug)]
pub struct HashedKey {
    name: Arc<str>,
    sha256: [u8; 32],
}

/// A key entry that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "auth.apiKeys entry {name:?}: sha256 is not 64 hexadecimal digits; write the SHA-256 of the key"
)]
pub struct InvalidKey {
    name: String,
}

impl AccessPolicy {
    /// Prepare a configured policy.
    pub fn new(config: &AuthConfig) -> Result<Self, InvalidKey> {
        match config {
            AuthConfig::Anonymous {} => Ok(Self::Anonymous),
            AuthConfig::ApiKeys(keys) => keys
                .iter()
                .map(HashedKey::new)
                .collect::<Result<_, _>>()
                .map(Self::ApiKeys),
        }
    }

    fn identify(&self, headers: &HeaderMap) -> Result<Caller, GatewayError> {
        match self {
            Self::Anonymous => Ok(Caller {
                name: ANONYMOUS.into(),
            }),
            Self::ApiKeys(keys) => {
                let digest: [u8; 32] = Sha256::digest(bearer_token(headers)?.as_bytes()).into();
                // Every key is compared, so that the time taken does not tell which one was near.
                let mut found = None;
                for key in keys {
                    if bool::from(key.matches(&digest)) {
                        found = Some(Caller {
                            name: Arc::clone(&key.name),
                        });
                    }
                }
                found.ok_or(GatewayError::Unauthorized {
                    message: "the API key is not known to this gateway",
                })
            }
        }
    }
}

impl HashedKey {
    fn new(config: &ApiKeyConfig) -> Result<Self, InvalidKey> {
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&config.sha256, &mut sha256).map_err(|_| InvalidKey {
            name: config.name.clone(),
        })?;
        Ok(Self {
            name: config.name.as_str().into(),
            sha256,
        })
    }

    fn matches(&self, digest: &[u8; 32]) -> Choice {
        self.sha256.ct_eq(digest)
    }
}

/// The caller of a request with these headers.
pub fn authenticate(runtime: &RuntimeConfig, headers: &HeaderMap) -> Result<Caller, GatewayError> {
    runtime.access.identify(headers)
}

/// Lower-case hexadecimal SHA-256 of a key, as configurations hold it.
pub fn hash_key(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, GatewayError> {
    let missing = GatewayError::Unauthorized {
        message: "no API key: send it as `Authorization: Bearer <key>`",
    };
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(missing);
    };
    match value.to_str().ok().and_then(|text| text.split_once(' ')) {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() =>
        {
            Ok(token.trim())
        }
        _ => Err(GatewayError::Unauthorized {
            message: "the Authorization header is not of the form `Bearer <key>`",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AccessPolicy {
        let keys = [("team/a", "alpha"), ("team/b", "beta")].map(|(name, key)| ApiKeyConfig {
            name: name.into(),
            sha256: hash_key(key),
        });
        AccessPolicy::new(&AuthConfig::ApiKeys(keys.to_vec())).expect("valid keys")
    }

    fn with_header(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("header"))])
    }

    #[test]
    fn a_known_key_is_called_by_its_name() {
        let caller = policy()
            .identify(&with_header("bearer beta"))
            .expect("known");
        assert_eq!(&*caller.name, "team/b");
    }

    #[test]
    fn refusals_never_repeat_the_key() {
        for value in [
            "Bearer gamma-secret",
            "Basic gamma-secret",
            "gamma-secret",
            "Bearer ",
        ] {
            let error = policy().identify(&with_header(value)).expect_err(value);
            assert_eq!(error.status(), 401, "{value}");
            assert!(!error.to_string().contains("gamma"), "{error}");
        }
        assert!(policy().identify(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_empty_list_of_keys_admits_nobody() {
        let policy = AccessPolicy::new(&AuthConfig::ApiKeys(Vec::new())).expect("valid");
        assert!(policy.identify(&with_header("Bearer alpha")).is_err());
    }

    #[test]
    fn a_malformed_hash_is_named() {
        let key = ApiKeyConfig {
            name: "team/a".into(),
            sha256: "beef".into(),
        };
        let error = AccessPolicy::new(&AuthConfig::ApiKeys(vec![key])).expect_err("too short");
        assert!(error.to_string().contains("team/a"), "{error}");
    }
}
