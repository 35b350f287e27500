//! Asking a model again.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::DurationText;

/// How often a model is asked again that could not be reached, cut the connection off before its first token, or
/// answered 408, 409, 429 or 5xx (but 501 and 505).
///
/// A fifth of the requests that wait for a model may be such repetitions, and 3 always: an API that is down is not asked
/// twice as often for it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.backoff) || duration(self.backoff) > duration('0s')")
    .message("backoff must be longer than 0"))]
#[x_kube(validation = Rule::new("!has(self.maxBackoff) || duration(self.maxBackoff) >= (has(self.backoff) ? duration(self.backoff) : duration('250ms'))")
    .message("maxBackoff must not be shorter than backoff, which is 250ms when absent"))]
pub struct Retries {
    /// How often each model is asked again.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: i32,

    /// The pause before the first repetition; each further one is twice as long. Of each, a random half is left out, so
    /// that clients do not come back all at once. 250ms when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<DurationText>,

    /// The longest pause. A model whose API asks for a longer one by Retry-After is not asked again. Ten times backoff when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff: Option<DurationText>,
}
