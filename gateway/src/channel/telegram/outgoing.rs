//! The messages that say an answer. Pure.

use super::bot_api::{LinkPreviewOptions, ReplyParameters, SendMessage};
use super::format;
use super::update::Message;

const NO_WORDS: &str = "Sorry, I have no answer to that.";

/// The messages that say `text` in answer to a message.
pub(super) fn outgoing(message: &Message, text: &str) -> Vec<SendMessage> {
    let mut pieces = format::split(text, format::MESSAGE_LIMIT);
    if pieces.is_empty() {
        pieces.push(NO_WORDS.to_owned());
    }
    // In a group the first message shows what it answers; between two people that is plain.
    let mut reply_parameters = (!message.chat.is_private()).then_some(ReplyParameters {
        message_id: message.id,
        allow_sending_without_reply: true,
    });
    let pieces = pieces.into_iter().map(|text| SendMessage {
        chat_id: message.chat.id,
        message_thread_id: message.topic(),
        text,
        reply_parameters: reply_parameters.take(),
        link_preview_options: LinkPreviewOptions { is_disabled: true },
    });
    pieces.collect()
}
