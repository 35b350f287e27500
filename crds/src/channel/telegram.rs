//! Telegram bots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretValue;

/// A Telegram bot that receives its updates by webhook at `/channels/<name>`.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Telegram {
    /// The bot's token, as BotFather gives it.
    pub bot_token: SecretValue,

    /// The `secret_token` given to setWebhook: updates without it are refused.
    pub webhook_secret: SecretValue,

    /// Base URL of the Bot API; `https://api.telegram.org` when absent.
    #[serde(
        default,
        rename = "apiBaseURL",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub api_base_url: Option<String>,
}

impl Telegram {
    /// Where the Bot API is.
    pub fn api_base_url_or_default(&self) -> &str {
        self.api_base_url
            .as_deref()
            .unwrap_or("https://api.telegram.org")
    }
}
