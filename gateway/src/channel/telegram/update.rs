//! The part of Telegram's `Update` that this channel reads.
//!
//! Lenient on purpose: Telegram adds fields and kinds of updates at any time, and an update that is answered with
//! an error comes again and again. Only a body without `update_id` is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// One webhook call.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    /// Increases with every update of a bot; the key against duplicates.
    pub(crate) id: i64,
    /// A new message; absent for every other kind of update, edits included.
    pub(crate) message: Option<Message>,
}

/// A message in a chat.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Message {
    /// Unique within the chat.
    #[serde(rename = "message_id")]
    pub(crate) id: i64,
    /// The topic, or a thread of replies outside of forums.
    #[serde(default, rename = "message_thread_id")]
    thread: Option<i64>,
    /// Whether `thread` is a topic of a forum.
    #[serde(default, rename = "is_topic_message")]
    in_topic: bool,
    /// Who wrote it.
    #[serde(default)]
    pub(crate) from: Option<User>,
    /// Set when it was written in the name of a group or a broadcast channel.
    #[serde(default)]
    pub(crate) sender_chat: Option<Chat>,
    /// Where it was written.
    pub(crate) chat: Chat,
    /// The text of a text message.
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    entities: Vec<Entity>,
    /// The text under a picture or a file.
    #[serde(default)]
    caption: Option<String>,
    #[serde(default)]
    caption_entities: Vec<Entity>,
    /// What it replies to.
    #[serde(default, rename = "reply_to_message")]
    pub(crate) reply_to: Option<Replied>,
    /// Everything else; the names alone tell what kind of message it is.
    #[serde(flatten)]
    #[expect(
        clippy::zero_sized_map_values,
        reason = "serde flattens into maps, not into sets"
    )]
    other: BTreeMap<String, IgnoredAny>,
}

/// A person or a bot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    /// Never changes.
    pub(crate) id: i64,
    /// Whether it is a bot.
    #[serde(default)]
    pub(crate) is_bot: bool,
    /// Without the `@`; can be changed, and taken over by others.
    #[serde(default)]
    pub(crate) username: Option<String>,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Chat {
    /// Negative for groups.
    pub(crate) id: i64,
    /// `private`, `group`, `supergroup` or `channel`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Without the `@`.
    #[serde(default)]
    pub(crate) username: Option<String>,
}

/// A marked part of a text. Offsets count UTF-16 code units.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entity {
    /// `mention`, `text_mention`, `bot_command` and many more.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Where it begins.
    pub(crate) offset: usize,
    /// How long it is.
    pub(crate) length: usize,
    /// Who is meant by a `text_mention`.
    #[serde(default)]
    pub(crate) user: Option<User>,
}

/// The message that another one replies to.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Replied {
    /// Who wrote it.
    #[serde(default)]
    pub(crate) from: Option<User>,
    #[serde(flatten)]
    #[expect(
        clippy::zero_sized_map_values,
        reason = "serde flattens into maps, not into sets"
    )]
    other: BTreeMap<String, IgnoredAny>,
}

impl Update {
    /// Read the body of a webhook call.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            update_id: i64,
            #[serde(default)]
            message: serde_json::Value,
        }
        let Envelope { update_id, message } = serde_json::from_slice(body)?;
        let message = match message {
            serde_json::Value::Null => None,
            message => serde_json::from_value(message)
                .inspect_err(|error| tracing::debug!(update_id, %error, "a message of an unknown shape is ignored"))
                .ok(),
        };
        Ok(Self {
            id: update_id,
            message,
        })
    }
}

impl Message {
    /// The text or the caption, with its marked parts.
    pub(crate) fn content(&self) -> Option<(&str, &[Entity])> {
        match (&self.text, &self.caption) {
            (Some(text), _) => Some((text, &self.entities)),
            (None, Some(caption)) => Some((caption, &self.caption_entities)),
            (None, None) => None,
        }
    }

    /// Whether a person sent something other than text, as opposed to a notice such as "a message was pinned".
    pub(crate) fn has_media(&self) -> bool {
        const MEDIA: [&str; 12] = [
            "animation",
            "audio",
            "contact",
            "dice",
            "document",
            "location",
            "photo",
            "poll",
            "sticker",
            "video",
            "video_note",
            "voice",
        ];
        MEDIA.iter().any(|kind| self.other.contains_key(*kind))
    }

    /// The topic to answer in. Threads of replies outside of forums have ids too, but refuse to be written to.
    pub(crate) fn topic(&self) -> Option<i64> {
        self.thread.filter(|_| self.in_topic)
    }
}

impl Chat {
    /// Whether it is a conversation with one person.
    pub(crate) fn is_private(&self) -> bool {
        self.kind == "private"
    }
}

impl Replied {
    /// Whether the reply was made by hand. In a forum every message "replies" to the notice that opened its topic.
    pub(crate) fn is_deliberate(&self) -> bool {
        !self.other.contains_key("forum_topic_created")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(update: &serde_json::Value) -> Update {
        Update::parse(update.to_string().as_bytes()).expect("parses")
    }

    #[test]
    fn a_text_message_is_read() {
        let update = parse(&json!({"update_id": 7, "message": {
            "message_id": 3, "date": 1, "novelty": {"deep": []},
            "from": {"id": 5, "is_bot": false, "first_name": "Ada", "username": "ada"},
            "chat": {"id": 5, "type": "private"}, "text": "hi",
        }}));
        let message = update.message.expect("a message");
        assert_eq!(
            (update.id, message.id, message.content().expect("text").0),
            (7, 3, "hi")
        );
        assert!(message.chat.is_private());
        assert!(!message.has_media());
    }

    #[test]
    fn other_kinds_of_updates_have_an_id_and_no_message() {
        for kind in [
            "edited_message",
            "channel_post",
            "callback_query",
            "chat_member",
            "kind_of_next_year",
        ] {
            let update = parse(&json!({"update_id": 8, kind: {"message_id": 1}}));
            assert_eq!(update.id, 8);
            assert!(update.message.is_none(), "{kind}");
        }
    }

    #[test]
    fn a_message_of_an_unknown_shape_is_none() {
        assert!(
            parse(&json!({"update_id": 9, "message": {"message_id": "three"}}))
                .message
                .is_none()
        );
    }

    #[test]
    fn a_body_without_an_update_id_is_an_error() {
        assert!(Update::parse(b"{}").is_err());
        assert!(Update::parse(b"null").is_err());
        assert!(Update::parse(b"{\"update_id\": \"x\"}").is_err());
        assert!(Update::parse(b"not json").is_err());
    }

    #[test]
    fn a_caption_counts_as_text_and_a_picture_as_media() {
        let message = parse(&json!({"update_id": 1, "message": {
            "message_id": 1, "chat": {"id": -2, "type": "group"}, "photo": [{"file_id": "x"}], "caption": "look",
        }}))
        .message
        .expect("a message");
        assert_eq!(message.content().expect("caption").0, "look");
        assert!(message.has_media());
    }

    #[test]
    fn only_forum_topics_are_answered_in_their_thread() {
        let message = |topic: bool| {
            parse(&json!({"update_id": 1, "message": {
                "message_id": 1, "chat": {"id": -2, "type": "supergroup"}, "text": "x",
                "message_thread_id": 44, "is_topic_message": topic,
            }}))
            .message
            .expect("a message")
        };
        assert_eq!(message(true).topic(), Some(44));
        assert_eq!(message(false).topic(), None);
    }
}
