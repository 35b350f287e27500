//! Callers with tokens that an identity provider has signed.
//!
//! Verified on `ring` directly, which rustls brings: what may be verified with which key is decided by the key's type
//! alone, and no code for shared secrets is there to be confused with. A token's issuer picks the configuration, and
//! only the keys of that one are tried.

mod key;
mod key_source;
mod token;

use std::sync::Arc;

use claw_crds::gateway_config::{JwksConfig, JwtConfig};
use jiff::Timestamp;
use serde_json::Value;

use super::token_fault::TokenFault;
use super::{Caller, Denied, Grant, Means, Unavailable, claims};
use key::{KeySet, Verdict};
use key_source::KeySource;
use token::Token;
pub(super) use token::looks_like_one;

/// What a token leads to.
#[derive(Debug, PartialEq, Eq)]
enum Recognised {
    Caller(Caller),
    Fault(TokenFault),
    /// Its key is not known; the issuer may have published it meanwhile.
    UnknownKey,
    /// No key of the issuer is known at all.
    NoKeys,
}

/// A key set in the configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("identities.jwt {name:?}: the key set cannot be used")]
pub struct InvalidIssuer {
    name: String,
    source: key::InvalidKeySet,
}

/// Everybody whose tokens are taken.
#[derive(Debug, Default)]
pub(super) struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    config: JwtConfig,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(Arc<KeySet>),
    Published(Arc<KeySource>),
}

impl Issuers {
    /// Prepare configured issuers.
    pub(super) fn new(configs: &[JwtConfig]) -> Result<Self, InvalidIssuer> {
        configs
            .iter()
            .map(Issuer::new)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Keep what is known of keys at the same URL.
    pub(super) fn adopt(&mut self, before: &Self) {
        for issuer in &mut self.0 {
            let Keys::Published(source) = &mut issuer.keys else {
                continue;
            };
            let known = before.0.iter().find_map(|issuer| match &issuer.keys {
                Keys::Published(known) if known.url() == source.url() => Some(known),
                _ => None,
            });
            if let Some(known) = known {
                *source = Arc::clone(known);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token this is. Its issuer is asked for its keys where the one that the token names is not known.
    pub(super) async fn caller(&self, text: &str, means: &Means<'_>) -> Result<Caller, Denied> {
        let (token, issuer) = self.issuer_of(text).map_err(Denied::Token)?;
        let mut outcome = issuer.recognise(&token, Timestamp::now());
        if let Keys::Published(source) = &issuer.keys {
            if matches!(outcome, Recognised::UnknownKey | Recognised::NoKeys) {
                source.refresh(means).await;
                outcome = issuer.recognise(&token, Timestamp::now());
            }
            source.keep_fresh(means);
        }
        match outcome {
            Recognised::Caller(caller) => Ok(caller),
            Recognised::Fault(fault) => Err(Denied::Token(fault)),
            Recognised::UnknownKey => Err(Denied::Token(TokenFault::UnknownKey)),
            Recognised::NoKeys => Err(Denied::Unavailable(Unavailable::IssuerKeys)),
        }
    }

    fn issuer_of<'a>(&self, text: &'a str) -> Result<(Token<'a>, &Issuer), TokenFault> {
        let token = Token::parse(text).ok_or(TokenFault::Malformed)?;
        let claimed = token.claims.get("iss").and_then(Value::as_str);
        let mut issuers = self.0.iter();
        let issuer = issuers.find(|issuer| Some(&*issuer.config.issuer) == claimed);
        Ok((token, issuer.ok_or(TokenFault::Issuer)?))
    }
}

impl Issuer {
    fn new(config: &JwtConfig) -> Result<Self, InvalidIssuer> {
        let keys = match &config.jwks {
            JwksConfig::Url(url) => Keys::Published(Arc::new(KeySource::new(url))),
            JwksConfig::Inline(jwks) => {
                let keys = KeySet::parse(jwks.as_bytes()).map_err(|source| InvalidIssuer {
                    name: config.name.clone(),
                    source,
                })?;
                Keys::Inline(Arc::new(keys))
            }
        };
        Ok(Self {
            config: config.clone(),
            keys,
        })
    }

    /// By the keys that are known now.
    fn recognise(&self, token: &Token<'_>, now: Timestamp) -> Recognised {
        let allowed = &self.config.algorithms;
        let algorithm = key::algorithm(&token.algorithm)
            .filter(|algorithm| allowed.is_empty() || allowed.contains(algorithm));
        let Some(algorithm) = algorithm else {
            return Recognised::Fault(TokenFault::Signature);
        };
        let (keys, may_change) = match &self.keys {
            Keys::Inline(keys) => (Some(Arc::clone(keys)), false),
            Keys::Published(source) => (source.keys(), true),
        };
        let Some(keys) = keys else {
            return Recognised::NoKeys;
        };
        let (id, message) = (token.key_id.as_deref(), token.message.as_bytes());
        match keys.verify(algorithm, id, message, &token.signature) {
            Verdict::Good => match self.caller(token, now.as_duration().as_secs_f64()) {
                Ok(caller) => Recognised::Caller(caller),
                Err(fault) => Recognised::Fault(fault),
            },
            Verdict::NoKey if may_change => Recognised::UnknownKey,
            Verdict::NoKey | Verdict::Bad => Recognised::Fault(TokenFault::Signature),
        }
    }

    /// Of a token whose signature is good. `now` is in seconds of Unix time.
    fn caller(&self, token: &Token<'_>, now: f64) -> Result<Caller, TokenFault> {
        let (config, said) = (&self.config, &token.claims);
        let skew = f64::from(config.clock_skew_seconds);
        let expires = claims::time(said, "exp")?.ok_or_else(|| TokenFault::Claim("exp".into()))?;
        if expires + skew <= now {
            return Err(TokenFault::Expired);
        }
        for begin in ["nbf", "iat"] {
            if claims::time(said, begin)?.is_some_and(|begin| begin - skew > now) {
                return Err(TokenFault::NotYet);
            }
        }
        if !claims::is_for(said, &config.audiences) {
            return Err(TokenFault::Audience);
        }
        let (name, mut grant) = claims::check(&config.claims, said, &["sub"])?;
        grant.expires = claims::timestamp((expires + skew).ceil());
        Ok(Caller {
            name: format!("jwt:{}/{name}", config.name).into(),
            grant: Arc::new(Grant::new(grant)),
        })
    }
}

#[cfg(test)]
mod tests;
