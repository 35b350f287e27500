//! What becomes of a message, for the metrics and the audit log.

use claw_crds::gateway_config::{ChannelConfig, PlatformConfig};

use crate::AppState;
use crate::audit::{ChannelMessage, Content, Event};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered,
    /// The model did not answer; the person was told so.
    Failed,
    /// An answer could not be sent.
    Undelivered,
    /// The person cancelled it, or left.
    Cancelled,
    /// It was not meant for the bot.
    Ignored,
    /// The access rules say no.
    Refused,
    /// It came before.
    Duplicate,
    /// The queue was full.
    Overflow,
    /// It could not be kept, so it was not taken.
    Unkept,
    /// It makes no sense.
    Invalid,
    /// It does not come from the platform.
    Unverified,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Undelivered => "undelivered",
            Self::Cancelled => "cancelled",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
            Self::Duplicate => "duplicate",
            Self::Overflow => "overflow",
            Self::Unkept => "unkept",
            Self::Invalid => "invalid",
            Self::Unverified => "unverified",
        }
    }
}

/// Count and record a message. Only configured channels are counted, so strangers cannot invent labels.
pub(crate) fn record(app: &AppState, channel: &ChannelConfig, outcome: Outcome) {
    record_with(app, channel, outcome, None);
}

/// The same with what was said, which is recorded where the configuration asks for it.
pub(crate) fn record_with(
    app: &AppState,
    channel: &ChannelConfig,
    outcome: Outcome,
    content: Option<Content>,
) {
    let platform = match channel.platform {
        PlatformConfig::WebSocket {} => "WebSocket",
        PlatformConfig::Telegram { .. } => "Telegram",
    };
    app.metrics
        .channel_message(&channel.name, platform, outcome.label());
    app.audit
        .offer(Event::ChannelMessage(Box::new(ChannelMessage {
            channel: channel.name.clone(),
            platform,
            model: channel.model.clone(),
            outcome: outcome.label(),
            content: content.filter(|_| app.audit.wants_content()),
        })));
}
