//! How long a prompt is: counted by a local model's own tokenizer, estimated for an API elsewhere.

use std::sync::Arc;

use super::{Answered, Dispatcher, local, stream, unavailable};
use crate::config::Backend;
use crate::error::GatewayError;
use crate::routing::Candidates;
use crate::types::{ChatRequest, Usage};

/// A length, and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEstimate {
    /// Tokens.
    pub tokens: u64,
    /// Counted by the model's own tokenizer and chat template.
    pub is_exact: bool,
}

impl Dispatcher {
    /// The length of a prompt for the first model that can tell. No API elsewhere is asked.
    pub async fn count_tokens(
        &self,
        candidates: &Candidates<'_>,
        request: &ChatRequest,
    ) -> Result<Answered<TokenEstimate>, GatewayError> {
        let limits = self.limits(candidates);
        self.course(candidates, &limits, limits.remote.whole)
            .first_success(|entry| {
                Box::pin(async move {
                    match &entry.backend {
                        Backend::Local(slot) => {
                            let tokens =
                                local::count_tokens(&entry.name, Arc::clone(slot), request).await?;
                            Ok(TokenEstimate {
                                tokens,
                                is_exact: true,
                            })
                        }
                        Backend::Remote(_) => Ok(TokenEstimate {
                            tokens: Usage::estimate(stream::prompt_bytes(request), 0).prompt_tokens,
                            is_exact: false,
                        }),
                        Backend::Unavailable { reason } => Err(unavailable(entry, reason)),
                    }
                })
            })
            .await
    }
}
