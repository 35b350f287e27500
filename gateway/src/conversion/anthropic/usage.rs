//! What an answer cost.

use serde::Deserialize;
use serde_json::json;

use crate::types::Usage;

/// Anthropic's count. In a stream it comes in parts, each of which replaces what was known.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Counted {
    /// Without what came from the cache or went into it.
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_written: Option<u64>,
}

impl Counted {
    pub(super) fn update(&mut self, newer: Self) {
        self.input = newer.input.or(self.input);
        self.output = newer.output.or(self.output);
        self.cache_read = newer.cache_read.or(self.cache_read);
        self.cache_written = newer.cache_written.or(self.cache_written);
    }

    pub(super) fn usage(self) -> Usage {
        let read = self.cache_read.unwrap_or(0);
        let written = self.cache_written.unwrap_or(0);
        let input = self.input.unwrap_or(0);
        let prompt = input.saturating_add(read).saturating_add(written);
        let mut usage = Usage::new(prompt, self.output.unwrap_or(0));
        usage.extra.insert(
            "prompt_tokens_details".into(),
            json!({"cached_tokens": read, "cache_write_tokens": written}),
        );
        usage
    }
}
