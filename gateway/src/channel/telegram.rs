//! Telegram bots: verify → parse → dedupe → queue → acknowledge; the rest happens behind the queue.
//!
//! Telegram repeats an update until it is acknowledged, so a full queue says 503 and the update is not remembered. Where
//! the configuration has a database, an update is acknowledged once it is there.

mod access;
mod bot_api;
mod format;
mod inbox;
mod kept;
mod mention;
mod outgoing;
mod roster;
mod seen;
mod update;
mod verify;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use claw_crds::gateway_config::ChannelConfig;
use http::StatusCode;

use super::{Outcome, record};
use crate::AppState;
use crate::channel::keyed_queue::QueueLimits;
use crate::conversation::StoreLimits;
use crate::error::GatewayError;
use crate::mailbox::{Mail, MailboxError};
pub use bot_api::{Pause, RetryPolicy, TokioPause};
use inbox::Admission;
pub(super) use roster::{Credentials, Roster};
use update::Update;

/// No update of Telegram comes near this.
const MAX_UPDATE_BYTES: u64 = 1024 * 1024;

/// What can be tuned; the defaults are for production.
#[derive(Clone)]
pub struct Settings {
    /// Bounds of each bot's queue.
    pub queue: QueueLimits,
    /// How many update ids are remembered against duplicates.
    pub remembered_updates: usize,
    /// How often "typing…" is renewed; Telegram shows it for five seconds.
    pub typing_every: Duration,
    /// When a call of the Bot API is made again.
    pub retry: RetryPolicy,
    /// What is remembered of the chats.
    pub conversations: StoreLimits,
    /// How pauses are made.
    pub pause: Arc<dyn Pause>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue: QueueLimits {
                jobs: 256,
                parallel: 16,
            },
            remembered_updates: 4096,
            typing_every: Duration::from_millis(4500),
            retry: RetryPolicy::default(),
            conversations: StoreLimits::default(),
            pause: Arc::new(TokioPause),
        }
    }
}

/// One call of a webhook.
pub(super) struct Webhook<'a> {
    pub(super) app: &'a AppState,
    pub(super) channel: &'a ChannelConfig,
    pub(super) credentials: Credentials<'a>,
    pub(super) roster: &'a Roster,
}

impl Webhook<'_> {
    /// Take an update in.
    pub(super) async fn receive(self, request: Request) -> Result<Response, GatewayError> {
        let Self {
            app,
            channel,
            credentials,
            roster,
        } = self;
        if !verify::is_genuine(request.headers(), credentials.webhook_secret) {
            record(app, channel, Outcome::Unverified);
            return Err(GatewayError::Unauthorized {
                message: "the X-Telegram-Bot-Api-Secret-Token header is missing or wrong: give setWebhook the \
                          secret_token of this channel",
            });
        }
        let limit = app.peek().limits.max_body_bytes.min(MAX_UPDATE_BYTES);
        let (update, content) = read(request, limit).await?;
        let Some(message) = update.message else {
            record(app, channel, Outcome::Ignored);
            return Ok(StatusCode::OK.into_response());
        };
        let inbox = roster.inbox(app, channel, credentials);
        let admission = match &*app.mail.mail() {
            Mail::Memory => inbox.admit(update.id, inbox.job(app, channel, message)),
            Mail::Stored(mailbox) => {
                let (app, channel) = (app.clone(), channel.clone());
                let mailbox = Arc::clone(mailbox);
                // On its own: Telegram may hang up at any moment.
                let kept = app.clone().tasks.spawn(async move {
                    let kept = (update.id, message, &*content);
                    inbox.keep(&app, &channel, &mailbox, kept).await
                });
                // What is wrong is logged where it happens.
                kept.await
                    .unwrap_or(Err(MailboxError::Paused))
                    .unwrap_or(Admission::Unkept)
            }
            Mail::Unavailable(_) => Admission::Unkept,
        };
        if let Some(outcome) = admission.outcome() {
            record(app, channel, outcome);
        }
        Ok(match admission {
            Admission::Accepted | Admission::Duplicate => StatusCode::OK.into_response(),
            Admission::Full | Admission::Unkept => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(http::header::RETRY_AFTER, "5")],
            )
                .into_response(),
        })
    }
}

async fn read(request: Request, limit: u64) -> Result<(Update, Bytes), GatewayError> {
    let bytes = axum::body::to_bytes(
        request.into_body(),
        usize::try_from(limit).unwrap_or(usize::MAX),
    )
    .await;
    // The limit is by far the likeliest cause; for a caller who hung up the answer does not matter.
    let bytes = bytes.map_err(|_| GatewayError::BodyTooLarge { limit })?;
    let update = Update::parse(&bytes).map_err(|error| GatewayError::InvalidRequest {
        message: format!("the body is not a Telegram update: {error}"),
        param: None,
    })?;
    Ok((update, bytes))
}
