//! Who a caller is, and what they may do: headers in, a name with a grant or a refusal out.
//!
//! Denies by default. What a grant says of models, the handlers ask it; everything else is decided here.

mod attempts;
mod credential;
mod denied;
mod grant;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use claw_crds::gateway_config::{ApiKeyConfig, AuthConfig};
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::AppState;
use crate::client_address::ClientAddress;
use crate::config::RuntimeConfig;
use crate::error::GatewayError;
pub use attempts::Attempts;
use credential::credential;
pub use denied::Denied;
pub use grant::Grant;

/// The name of callers without a key, where the configuration lets them in.
pub const ANONYMOUS: &str = "anonymous";

/// A caller who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `<secret>/<key>` of the API key, or [`ANONYMOUS`].
    pub name: Arc<str>,
    /// What they may do.
    pub grant: Arc<Grant>,
}

impl Caller {
    /// The caller of a request that was let in. Whatever was not answers nothing.
    pub fn of(parts: &Parts) -> Result<&Self, GatewayError> {
        parts.extensions.get().ok_or(GatewayError::Internal)
    }
}

/// What a request tells of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// With the credential.
    pub headers: &'a HeaderMap,
    /// What is asked for.
    pub path: &'a str,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
}

impl<'a> Visit<'a> {
    /// What this request tells.
    pub fn of(request: &'a Request) -> Self {
        Self {
            headers: request.headers(),
            path: request.uri().path(),
            address: ClientAddress::of(request),
        }
    }
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
    caller: Caller,
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

    fn identify(&self, digest: &[u8; 32]) -> Option<&Caller> {
        let Self::ApiKeys(keys) = self else {
            return None;
        };
        // Every key is compared, so that the time taken does not tell which one was near.
        let mut found = None;
        for key in keys {
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

/// The caller of a request, counted where it is refused.
pub fn authenticate(
    app: &AppState,
    runtime: &RuntimeConfig,
    visit: Visit<'_>,
) -> Result<Caller, Denied> {
    let outcome = identify(&runtime.access, &app.attempts, visit);
    if let Err(denied) = &outcome {
        app.metrics.auth_refused(denied.reason());
    }
    outcome
}

fn identify(
    access: &AccessPolicy,
    attempts: &Attempts,
    visit: Visit<'_>,
) -> Result<Caller, Denied> {
    if let AccessPolicy::Anonymous = access {
        return Ok(Caller {
            name: ANONYMOUS.into(),
            grant: Arc::default(),
        });
    }
    let digest: [u8; 32] = Sha256::digest(credential(visit.headers)?.as_bytes()).into();
    let (fingerprint, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    let now = Instant::now();
    if let Some(address) = visit.address {
        attempts
            .admit(address, *fingerprint, now)
            .map_err(|retry_after| Denied::Throttled { retry_after })?;
    }
    let Some(caller) = access.identify(&digest) else {
        if let Some(address) = visit.address {
            attempts.failed(address, now);
        }
        return Err(Denied::Unknown);
    };
    if let Some(address) = visit.address {
        attempts.succeeded(address, *fingerprint);
    }
    caller
        .grant
        .admit(visit.path, visit.address, Timestamp::now())?;
    Ok(caller.clone())
}

/// Lower-case hexadecimal SHA-256 of a key, as configurations hold it.
pub fn hash_key(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::GrantConfig;
    use http::header::AUTHORIZATION;

    use super::*;

    fn key(name: &str, key: &str) -> ApiKeyConfig {
        ApiKeyConfig {
            name: name.into(),
            sha256: hash_key(key),
            grant: GrantConfig::default(),
        }
    }

    fn policy() -> AccessPolicy {
        let keys = vec![key("team/a", "alpha"), key("team/b", "beta")];
        AccessPolicy::new(&AuthConfig::ApiKeys(keys)).expect("valid keys")
    }

    fn with_header(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("header"))])
    }

    fn visited(
        policy: &AccessPolicy,
        attempts: &Attempts,
        headers: &HeaderMap,
    ) -> Result<Caller, Denied> {
        let visit = Visit {
            headers,
            path: "/v1/models",
            address: Some(IpAddr::from([192, 0, 2, 1])),
        };
        identify(policy, attempts, visit)
    }

    #[test]
    fn a_known_key_is_called_by_its_name() {
        let caller = visited(&policy(), &Attempts::default(), &with_header("bearer beta"));
        assert_eq!(&*caller.expect("known").name, "team/b");
    }

    #[test]
    fn refusals_never_repeat_the_key() {
        let attempts = Attempts::default();
        for value in [
            "Bearer gamma-secret",
            "Basic gamma-secret",
            "gamma-secret",
            "Bearer ",
        ] {
            let denied = visited(&policy(), &attempts, &with_header(value)).expect_err(value);
            let error = GatewayError::from(denied);
            assert_eq!(error.status(), 401, "{value}");
            assert!(!error.to_string().contains("gamma"), "{error}");
        }
        assert!(visited(&policy(), &attempts, &HeaderMap::new()).is_err());
    }

    #[test]
    fn an_empty_list_of_keys_admits_nobody() {
        let policy = AccessPolicy::new(&AuthConfig::ApiKeys(Vec::new())).expect("valid");
        assert!(visited(&policy, &Attempts::default(), &with_header("Bearer alpha")).is_err());
    }

    #[test]
    fn an_expired_key_is_told_since_when() {
        let mut expired = key("team/a", "alpha");
        expired.grant.expires = "2026-01-31T00:00:00Z".parse().ok();
        let policy = AccessPolicy::new(&AuthConfig::ApiKeys(vec![expired])).expect("valid");
        let denied = visited(&policy, &Attempts::default(), &with_header("Bearer alpha"));
        let error = GatewayError::from(denied.expect_err("expired"));
        assert_eq!(error.status(), 401);
        assert!(
            error.to_string().contains("2026-01-31T00:00:00Z"),
            "{error}"
        );
    }

    #[test]
    fn guesses_are_slowed_and_the_right_key_goes_on() {
        let (policy, attempts) = (policy(), Attempts::default());
        visited(&policy, &attempts, &with_header("Bearer alpha")).expect("known");
        let outcomes: Vec<_> = (0..20)
            .map(|guess| {
                let headers = with_header(&format!("Bearer guess-{guess}"));
                visited(&policy, &attempts, &headers).expect_err("a guess")
            })
            .collect();
        assert!(
            outcomes[..11]
                .iter()
                .all(|denied| *denied == Denied::Unknown)
        );
        assert!(
            outcomes[11..]
                .iter()
                .all(|denied| denied.reason() == "throttled")
        );
        visited(&policy, &attempts, &with_header("Bearer alpha")).expect("known from here");
        let new = visited(&policy, &attempts, &with_header("Bearer beta")).expect_err("new here");
        assert_eq!(GatewayError::from(new).status(), 429);
    }

    #[test]
    fn a_malformed_hash_is_named() {
        let mut key = key("team/a", "alpha");
        key.sha256 = "beef".into();
        let error = AccessPolicy::new(&AuthConfig::ApiKeys(vec![key])).expect_err("too short");
        assert!(error.to_string().contains("team/a"), "{error}");
    }
}
