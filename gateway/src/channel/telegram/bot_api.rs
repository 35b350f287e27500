//! The few methods of Telegram's Bot API that this channel calls, with its rules about when to call again.
//!
//! The bot's token is part of every URL, so no URL leaves this module: not in errors, not in logs.

mod pause;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::Redacted;
use claw_crds::outbound::Refusal;
use http::StatusCode;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::mention::Bot;
use crate::outbound::Outbound;
pub use pause::{Pause, TokioPause};
pub use retry::RetryPolicy;

/// The one method that says something.
const SEND_MESSAGE: &str = "sendMessage";
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Answers of the API are short; more than this is not one of them.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// A client of the Bot API for one bot.
pub(crate) struct BotApi {
    outbound: Outbound,
    base_url: String,
    token: Redacted,
    retry: RetryPolicy,
    pause: Arc<dyn Pause>,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SendMessage {
    /// Where to.
    pub(crate) chat_id: i64,
    /// The topic of a forum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_thread_id: Option<i64>,
    /// At most [`MESSAGE_LIMIT`](super::format::MESSAGE_LIMIT) code units, sent as it is: no markup.
    pub(crate) text: String,
    /// The message it answers, shown above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_parameters: Option<ReplyParameters>,
    /// A model's words must not make Telegram fetch a page.
    pub(crate) link_preview_options: LinkPreviewOptions,
}

/// The message that another one answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyParameters {
    /// Its id.
    pub(crate) message_id: i64,
    /// Send also if it was deleted meanwhile.
    pub(crate) allow_sending_without_reply: bool,
}

/// Whether pages behind links are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkPreviewOptions {
    /// Not shown.
    pub(crate) is_disabled: bool,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BotApiError {
    /// No answer came; the source is without the URL.
    #[error("failed to call the Bot API method {method}")]
    Transport {
        /// The method.
        method: &'static str,
        /// The cause.
        source: reqwest::Error,
    },
    /// It is where this gateway may not call.
    #[error("the Bot API method {method} was not called: see the apiBaseURL of the channel")]
    NotAllowed {
        /// The method.
        method: &'static str,
        /// The address.
        source: Refusal,
    },
    /// The API is busy or broken.
    #[error("the Bot API method {method} answered with status {status}")]
    Unavailable {
        /// The method.
        method: &'static str,
        /// A 5xx.
        status: StatusCode,
    },
    /// Too many calls.
    #[error("the Bot API method {method} asks to wait for {} s", retry_after.as_secs())]
    TooMany {
        /// The method.
        method: &'static str,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The call itself is wrong, or not allowed; trying again is of no use.
    #[error("the Bot API method {method} was refused with status {status}: {description}")]
    Refused {
        /// The method.
        method: &'static str,
        /// A 4xx.
        status: StatusCode,
        /// Telegram's words.
        description: String,
    },
    /// The answer is not one of the Bot API.
    #[error(
        "the Bot API method {method} gave an unreadable answer: is the apiBaseURL of the channel right?"
    )]
    Malformed {
        /// The method.
        method: &'static str,
    },
}

/// What a failed call, with all its repetitions, means for the message that it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// It will never get through.
    Hopeless,
    /// It did not get through, for a reason that may end.
    Later,
    /// It may have got through.
    Doubtful,
}

impl BotApiError {
    pub(crate) fn prospect(&self) -> Prospect {
        match self {
            // What it asks for is wrong, or the bot was shut out of the chat.
            Self::Refused { status, .. }
                if matches!(*status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN) =>
            {
                Prospect::Hopeless
            }
            // The token is not in force, for one.
            Self::Refused { .. }
            | Self::NotAllowed { .. }
            | Self::Unavailable { .. }
            | Self::TooMany { .. } => Prospect::Later,
            Self::Transport { method, source }
                if source.is_connect() || *method != SEND_MESSAGE =>
            {
                Prospect::Later
            }
            Self::Transport { .. } | Self::Malformed { .. } => Prospect::Doubtful,
        }
    }
}

/// The envelope of every answer.
#[derive(Deserialize)]
struct Answer<T> {
    ok: bool,
    result: Option<T>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

impl BotApi {
    /// A client for a bot.
    pub(crate) fn new(
        outbound: Outbound,
        base_url: &str,
        token: Redacted,
        policy: (RetryPolicy, Arc<dyn Pause>),
    ) -> Self {
        let (retry, pause) = policy;
        Self {
            outbound,
            base_url: base_url.trim_end_matches('/').to_owned(),
            token,
            retry,
            pause,
        }
    }

    /// Who the bot is.
    pub(crate) async fn get_me(&self) -> Result<Bot, BotApiError> {
        #[derive(Deserialize)]
        struct Me {
            id: i64,
            #[serde(default)]
            username: String,
        }
        let Me { id, username } = self.call_patiently("getMe", &serde_json::json!({})).await?;
        Ok(Bot { id, username })
    }

    /// Send a message.
    pub(crate) async fn send_message(&self, message: &SendMessage) -> Result<(), BotApiError> {
        self.call_patiently::<IgnoredAny>(SEND_MESSAGE, message)
            .await
            .map(|_| ())
    }

    /// Show "typing…" for five seconds. Tried once: the next one comes soon anyway.
    pub(crate) async fn send_typing(
        &self,
        chat_id: i64,
        topic: Option<i64>,
    ) -> Result<(), BotApiError> {
        let mut body = serde_json::json!({"chat_id": chat_id, "action": "typing"});
        if let Some(topic) = topic {
            body["message_thread_id"] = topic.into();
        }
        self.call::<IgnoredAny>("sendChatAction", &body)
            .await
            .map(|_| ())
    }

    async fn call_patiently<T: DeserializeOwned>(
        &self,
        method: &'static str,
        body: &impl Serialize,
    ) -> Result<T, BotApiError> {
        let mut attempt = 1;
        loop {
            let error = match self.call(method, body).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let Some(delay) = self.retry.delay(&error, attempt) else {
                return Err(error);
            };
            tracing::debug!(%error, attempt, delay_ms = delay.as_millis(), "the Bot API is called again later");
            self.pause.pause(delay).await;
            attempt += 1;
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        body: &impl Serialize,
    ) -> Result<T, BotApiError> {
        let transport = |error: reqwest::Error| BotApiError::Transport {
            method,
            source: error.without_url(),
        };
        let url = format!("{}/bot{}/{method}", self.base_url, self.token.expose());
        let request = self
            .outbound
            .post(&url)
            .map_err(|source| BotApiError::NotAllowed { method, source })?
            .timeout(CALL_TIMEOUT)
            .json(body);
        let mut response = request.send().await.map_err(transport)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(BotApiError::Malformed { method });
            }
            bytes.extend_from_slice(&chunk);
        }
        self.judge(method, status, &bytes)
    }

    /// What an answer means.
    fn judge<T: DeserializeOwned>(
        &self,
        method: &'static str,
        status: StatusCode,
        bytes: &[u8],
    ) -> Result<T, BotApiError> {
        if status.is_server_error() {
            return Err(BotApiError::Unavailable { method, status });
        }
        let answer = serde_json::from_slice::<Answer<T>>(bytes).ok();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = answer.and_then(|answer| answer.parameters?.retry_after);
            return Err(BotApiError::TooMany {
                method,
                retry_after: Duration::from_secs(seconds.unwrap_or(1)),
            });
        }
        match answer {
            Some(Answer {
                ok: true,
                result: Some(result),
                ..
            }) if status.is_success() => Ok(result),
            Some(Answer {
                ok: false,
                description,
                ..
            }) => {
                // A proxy in between may repeat the path.
                let description = description
                    .unwrap_or_default()
                    .replace(self.token.expose(), "[redacted]");
                Err(BotApiError::Refused {
                    method,
                    status,
                    description,
                })
            }
            _ => Err(BotApiError::Malformed { method }),
        }
    }
}
