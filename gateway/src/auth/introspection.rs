//! Callers with tokens that an OAuth 2 server is asked about (RFC 7662).
//!
//! Answers are remembered under the SHA-256 of their token. While the server is away, what is remembered holds until its
//! time is over; other tokens admit nobody.

mod ask;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use claw_crds::gateway_config::IntrospectionConfig;
use jiff::Timestamp;
use moka::Expiry;
use moka::future::Cache;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::claims::{self, Claims};
use super::token_fault::TokenFault;
use super::{Caller, Denied, Grant, Means, Unavailable};
use crate::config::chain;
use ask::AskError;

/// Above so many answers, those that were needed least are forgotten.
const MOST_ANSWERS: u64 = 10_000;
/// No longer is remembered that a token is not active.
const REMEMBER_INACTIVE: Duration = Duration::from_secs(10);
/// Questions at a time.
const MOST_QUESTIONS: usize = 64;
/// How long a question may take, waiting for its turn included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks about tokens.
pub(super) struct Introspector {
    config: IntrospectionConfig,
    answers: Cache<[u8; 32], Answer>,
    turns: Semaphore,
    is_away: AtomicBool,
}

#[derive(Clone)]
struct Answer {
    outcome: Result<Caller, TokenFault>,
    /// How long it is believed.
    holds: Duration,
}

struct AsLongAsItHolds;

impl Expiry<[u8; 32], Answer> for AsLongAsItHolds {
    fn expire_after_create(&self, _: &[u8; 32], answer: &Answer, _: Instant) -> Option<Duration> {
        Some(answer.holds)
    }
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspector")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Introspector {
    pub(super) fn new(config: &IntrospectionConfig) -> Self {
        Self {
            config: config.clone(),
            answers: Cache::builder()
                .max_capacity(MOST_ANSWERS)
                .expire_after(AsLongAsItHolds)
                .build(),
            turns: Semaphore::new(MOST_QUESTIONS),
            is_away: AtomicBool::new(false),
        }
    }

    pub(super) fn config(&self) -> &IntrospectionConfig {
        &self.config
    }

    /// Whose token this is. Whoever comes with the same one meanwhile waits for the same answer.
    pub(super) async fn caller(
        &self,
        token: &str,
        digest: [u8; 32],
        means: &Means<'_>,
    ) -> Result<Caller, Denied> {
        let answer = self.answers.try_get_with(digest, self.ask(token, means));
        match answer.await {
            Ok(answer) => answer.outcome.map_err(Denied::Token),
            Err(_) => Err(Denied::Unavailable(Unavailable::Introspection)),
        }
    }

    async fn ask(&self, token: &str, means: &Means<'_>) -> Result<Answer, AskError> {
        let asked = async {
            // Never closed.
            let _turn = self.turns.acquire().await.map_err(|_| AskError::Timeout)?;
            ask::ask(&self.config, token, means.outbound).await
        };
        let told = tokio::time::timeout(TIMEOUT, asked).await;
        match told.unwrap_or(Err(AskError::Timeout)) {
            Ok(said) => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!(url = self.config.url, "tokens can be asked about again");
                }
                Ok(self.answer(&said, Timestamp::now()))
            }
            Err(error) => {
                // Once, and not for every request.
                if !self.is_away.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        url = self.config.url,
                        error = chain(&error),
                        "nobody can be asked about tokens, so they admit nobody"
                    );
                }
                Err(error)
            }
        }
    }

    fn answer(&self, said: &Claims, now: Timestamp) -> Answer {
        let most = Duration::from_secs(self.config.cache_seconds.into());
        match self.judge(said, now) {
            Ok((caller, expires)) => {
                let left = expires.map_or(most, |expires| {
                    Duration::try_from(expires.duration_since(now)).unwrap_or_default()
                });
                Answer {
                    outcome: Ok(caller),
                    holds: most.min(left),
                }
            }
            Err(fault) => Answer {
                outcome: Err(fault),
                holds: most.min(REMEMBER_INACTIVE),
            },
        }
    }

    fn judge(
        &self,
        said: &Claims,
        now: Timestamp,
    ) -> Result<(Caller, Option<Timestamp>), TokenFault> {
        let config = &self.config;
        if said.get("active").and_then(Value::as_bool) != Some(true) {
            return Err(TokenFault::Inactive);
        }
        let expires = claims::time(said, "exp")?.and_then(claims::timestamp);
        if expires.is_some_and(|expires| expires <= now) {
            return Err(TokenFault::Expired);
        }
        let begins = claims::time(said, "nbf")?.and_then(claims::timestamp);
        if begins.is_some_and(|begins| begins > now) {
            return Err(TokenFault::NotYet);
        }
        let issuer = said.get("iss").and_then(Value::as_str);
        if config.issuer.is_some() && config.issuer.as_deref() != issuer {
            return Err(TokenFault::Issuer);
        }
        if !config.audiences.is_empty() && !claims::is_for(said, &config.audiences) {
            return Err(TokenFault::Audience);
        }
        let (name, mut grant) = claims::check(&config.claims, said, &["sub", "client_id"])?;
        grant.expires = expires;
        let caller = Caller {
            name: format!("oauth:{name}").into(),
            grant: Arc::new(Grant::new(grant)),
        };
        Ok((caller, expires))
    }
}

#[cfg(test)]
mod tests;
