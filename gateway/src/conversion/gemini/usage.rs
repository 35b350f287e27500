//! What an answer cost.

use serde::Deserialize;
use serde_json::json;

use crate::types::Usage;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counted {
    #[serde(rename = "promptTokenCount")]
    prompt: u64,
    #[serde(rename = "toolUsePromptTokenCount")]
    tool_use_prompt: u64,
    #[serde(rename = "cachedContentTokenCount")]
    cached: u64,
    #[serde(rename = "candidatesTokenCount")]
    candidates: u64,
    /// Not among those of the candidates.
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: u64,
}

impl Counted {
    pub(super) fn usage(self) -> Usage {
        let prompt = self.prompt.saturating_add(self.tool_use_prompt);
        let answer = self.candidates.saturating_add(self.thoughts);
        let mut usage = Usage::new(prompt, answer);
        for (field, details) in [
            (
                "prompt_tokens_details",
                json!({"cached_tokens": self.cached}),
            ),
            (
                "completion_tokens_details",
                json!({"reasoning_tokens": self.thoughts}),
            ),
        ] {
            usage.extra.insert(field.to_owned(), details);
        }
        usage
    }
}
