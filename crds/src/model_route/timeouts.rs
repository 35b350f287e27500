//! How long is waited.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::DurationText;

/// How long is waited for an answer. Durations as in the Gateway API: `500ms`, `10s`, `1h30m`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.firstToken) || duration(self.firstToken) > duration('0s')")
    .message("firstToken must be longer than 0"))]
#[x_kube(validation = Rule::new("!has(self.idle) || duration(self.idle) > duration('0s')")
    .message("idle must be longer than 0"))]
#[x_kube(validation = Rule::new("!has(self.answer) || duration(self.answer) > duration('0s')")
    .message("answer must be longer than 0"))]
#[x_kube(validation = Rule::new("!has(self.total) || duration(self.total) > duration('0s')")
    .message("total must be longer than 0"))]
#[x_kube(validation = Rule::new("!has(self.total) || !has(self.firstToken) || duration(self.firstToken) <= duration(self.total)")
    .message("firstToken must not be longer than total"))]
#[x_kube(validation = Rule::new("!has(self.total) || !has(self.answer) || duration(self.answer) <= duration(self.total)")
    .message("answer must not be longer than total"))]
pub struct Timeouts {
    /// How long a model may take to the first token of a stream, before the next model is asked. When absent, 30s for
    /// a remote model, and for a local one as long as total allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<DurationText>,

    /// How long a model may be silent within a stream. When absent, 60s for a remote model, and for a local one as long
    /// as total allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<DurationText>,

    /// How long a model may take for an answer that is not streamed, before the next model is asked. When absent, 2m for
    /// a remote model, and for a local one as long as total allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<DurationText>,

    /// How long everything may take together, from the request to the last byte of its answer, with all models that are
    /// asked and all pauses between. Before the first token the answer is 504, after it an error ends the stream. 1h when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<DurationText>,
}
