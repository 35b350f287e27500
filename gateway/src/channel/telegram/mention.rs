//! What a message says, and whether it is meant for the bot. Pure.
//!
//! Telegram marks mentions and commands by offset and length in UTF-16 code units, so the text is never searched
//! for the bot's name: what looks like a mention inside of code or a link is none.

use std::ops::Range;

use super::update::{Entity, Message, User};

/// The bot itself, as `getMe` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bot {
    /// Its user id.
    pub(crate) id: i64,
    /// Its name without the `@`.
    pub(crate) username: String,
}

/// What a message says to the bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The text without mentions of the bot and without a command.
    pub(crate) prompt: String,
    /// Whether the bot is mentioned, commanded by name or replied to.
    pub(crate) addressed: bool,
    /// The command that the message begins with.
    pub(crate) command: Option<Command>,
}

/// A command at the beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `/start`: a person opens the chat.
    Start,
    /// `/help`.
    Help,
    /// `/reset` or `/new`: forget the conversation.
    Reset,
    /// Any other; its arguments are the prompt.
    Other,
    /// A command for another bot, which is never ours to answer.
    Foreign,
}

/// Read a message; `None` when it has neither text nor caption.
pub(crate) fn read(message: &Message, bot: &Bot) -> Option<Reading> {
    let (text, entities) = message.content()?;
    let mut reading = Reading {
        prompt: String::new(),
        addressed: is_reply_to(message, bot),
        command: None,
    };
    let mut removed = Vec::new();
    for entity in entities {
        let Some(range) = byte_range(text, entity) else {
            continue;
        };
        let marked = &text[range.clone()];
        match entity.kind.as_str() {
            "mention" if is_name_of(bot, marked.trim_start_matches('@')) => {
                reading.addressed = true;
                removed.push(range);
            }
            "text_mention" if entity.user.as_ref().is_some_and(|user| user.id == bot.id) => {
                reading.addressed = true;
                removed.push(range);
            }
            "bot_command" if range.start == 0 => {
                let (command, named) = command(marked, bot);
                reading.addressed |= named;
                reading.command = Some(command);
                removed.push(range);
            }
            _ => {}
        }
    }
    reading.prompt = without(text, removed);
    Some(reading)
}

/// Whether the message was written by this bot or by any other.
pub(crate) fn is_from_a_bot(sender: &User, bot: &Bot) -> bool {
    sender.is_bot || sender.id == bot.id
}

fn is_reply_to(message: &Message, bot: &Bot) -> bool {
    message.reply_to.as_ref().is_some_and(|replied| {
        replied.is_deliberate()
            && replied
                .from
                .as_ref()
                .is_some_and(|author| author.id == bot.id)
    })
}

fn is_name_of(bot: &Bot, name: &str) -> bool {
    name.eq_ignore_ascii_case(&bot.username)
}

/// The command in `/name` or `/name@bot`, and whether it names this bot.
fn command(marked: &str, bot: &Bot) -> (Command, bool) {
    let (name, target) = match marked.split_once('@') {
        Some((name, target)) => (name, Some(target)),
        None => (marked, None),
    };
    if target.is_some_and(|target| !is_name_of(bot, target)) {
        return (Command::Foreign, false);
    }
    let command = match name.to_ascii_lowercase().as_str() {
        "/start" => Command::Start,
        "/help" => Command::Help,
        "/reset" | "/new" => Command::Reset,
        _ => Command::Other,
    };
    (command, target.is_some())
}

/// Where an entity lies in the bytes of a text; `None` if it leaves the text or cuts a character.
fn byte_range(text: &str, entity: &Entity) -> Option<Range<usize>> {
    let start = byte_offset(text, entity.offset)?;
    let end = start + byte_offset(&text[start..], entity.length)?;
    Some(start..end)
}

fn byte_offset(text: &str, units: usize) -> Option<usize> {
    let mut seen = 0;
    for (at, character) in text.char_indices() {
        if seen >= units {
            return (seen == units).then_some(at);
        }
        seen += character.len_utf16();
    }
    (seen == units).then_some(text.len())
}

/// The text without these parts. A removed word takes one of the two spaces around it along, and at the beginning
/// also the comma or colon of an address ("@bot, …").
fn without(text: &str, mut removed: Vec<Range<usize>>) -> String {
    removed.sort_by_key(|range| range.start);
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for range in removed {
        if range.start < from {
            continue; // overlaps one that is gone already
        }
        kept.push_str(&text[from..range.start]);
        from = range.end;
        if kept.trim().is_empty() {
            from += text[from..].len() - text[from..].trim_start_matches([',', ':']).len();
        }
        if text[from..].starts_with(' ') && (kept.is_empty() || kept.ends_with(char::is_whitespace))
        {
            from += 1;
        }
    }
    kept.push_str(&text[from..]);
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::channel::telegram::update::Update;

    fn bot() -> Bot {
        Bot {
            id: 99,
            username: "Helpdesk_Bot".into(),
        }
    }

    fn message(fields: &Value) -> Message {
        let mut message = json!({"message_id": 1, "chat": {"id": -5, "type": "supergroup"}});
        for (name, value) in fields.as_object().expect("an object") {
            message[name] = value.clone();
        }
        let update = json!({"update_id": 1, "message": message});
        Update::parse(update.to_string().as_bytes())
            .expect("parses")
            .message
            .expect("a message")
    }

    fn reading(fields: &Value) -> Reading {
        read(&message(fields), &bot()).expect("a text")
    }

    /// A text whose only entity is the part between the bars, measured as Telegram does.
    fn marked(kind: &str, text: &str) -> Value {
        let parts: Vec<&str> = text.split('|').collect();
        let units = |part: &str| part.encode_utf16().count();
        json!({"text": parts.concat(), "entities": [
            {"type": kind, "offset": units(parts[0]), "length": units(parts[1])},
        ]})
    }

    #[rstest]
    #[case::plain("|@helpdesk_bot| hello", "hello")]
    #[case::other_case("|@HELPDESK_BOT| hello", "hello")]
    #[case::in_the_middle("hello |@helpdesk_bot| there", "hello there")]
    #[case::at_the_end("hello |@helpdesk_bot|", "hello")]
    #[case::after_an_emoji("😀 |@helpdesk_bot| hello", "😀 hello")]
    #[case::after_a_family_emoji("👨‍👩‍👧‍👦👍🏽 |@helpdesk_bot| hi", "👨‍👩‍👧‍👦👍🏽 hi")]
    #[case::after_a_combining_accent("e\u{301} |@helpdesk_bot| hi", "e\u{301} hi")]
    #[case::after_non_bmp_letters("𝒜𠮷 |@helpdesk_bot| hi", "𝒜𠮷 hi")]
    #[case::comma("|@helpdesk_bot|, hello", "hello")]
    #[case::colon("|@helpdesk_bot|: hello", "hello")]
    #[case::before_punctuation("right |@helpdesk_bot|?", "right ?")]
    #[case::on_a_line_of_its_own("|@helpdesk_bot|\nhello", "hello")]
    #[case::alone("|@helpdesk_bot|", "")]
    fn a_mention_addresses_the_bot_and_is_removed(#[case] text: &str, #[case] prompt: &str) {
        let reading = reading(&marked("mention", text));
        assert!(reading.addressed);
        assert_eq!(reading.prompt, prompt);
    }

    #[rstest]
    #[case::another_name(marked("mention", "|@helpdesk_bot2| hello"))]
    #[case::a_prefix(marked("mention", "|@helpdesk| hello"))]
    #[case::not_marked(json!({"text": "@helpdesk_bot hello"}))]
    #[case::marked_as_code(marked("code", "|@helpdesk_bot| hello"))]
    #[case::beyond_the_end(json!({"text": "@helpdesk_bot", "entities": [{"type": "mention", "offset": 0, "length": 99}]}))]
    #[case::offset_beyond_the_end(json!({"text": "hi", "entities": [{"type": "mention", "offset": 9, "length": 1}]}))]
    #[case::inside_a_surrogate_pair(json!({"text": "😀x", "entities": [{"type": "mention", "offset": 1, "length": 2}]}))]
    #[case::huge(json!({"text": "hi", "entities": [{"type": "mention", "offset": 1, "length": u64::MAX}]}))]
    fn what_is_no_mention_of_the_bot_stays(#[case] fields: Value) {
        let reading = reading(&fields);
        assert!(!reading.addressed);
        assert_eq!(reading.prompt, fields["text"]);
    }

    #[test]
    fn a_text_mention_counts_by_user_id() {
        let mut fields = marked("text_mention", "😀 |Help Desk| hello");
        fields["entities"][0]["user"] =
            json!({"id": 99, "is_bot": true, "first_name": "Help Desk"});
        assert_eq!(
            reading(&fields),
            Reading {
                prompt: "😀 hello".into(),
                addressed: true,
                command: None
            }
        );
        fields["entities"][0]["user"]["id"] = json!(98);
        assert!(!reading(&fields).addressed);
    }

    #[rstest]
    #[case("|/help|", Command::Help, false, "")]
    #[case("|/Help@helpdesk_BOT|", Command::Help, true, "")]
    #[case("|/start| deep-link", Command::Start, false, "deep-link")]
    #[case("|/reset@helpdesk_bot|", Command::Reset, true, "")]
    #[case("|/new|", Command::Reset, false, "")]
    #[case("|/ask@helpdesk_bot| why?", Command::Other, true, "why?")]
    #[case("|/help@other_bot|", Command::Foreign, false, "")]
    fn commands(
        #[case] text: &str,
        #[case] command: Command,
        #[case] addressed: bool,
        #[case] prompt: &str,
    ) {
        let expected = Reading {
            prompt: prompt.into(),
            addressed,
            command: Some(command),
        };
        assert_eq!(reading(&marked("bot_command", text)), expected);
    }

    #[test]
    fn a_command_in_the_middle_is_text() {
        let reading = reading(&marked("bot_command", "what does |/help| do"));
        assert_eq!(
            (reading.command, reading.prompt.as_str()),
            (None, "what does /help do")
        );
    }

    #[test]
    fn a_caption_is_read_with_its_own_entities() {
        let fields = json!({"photo": [{}], "caption": "@helpdesk_bot look", "caption_entities": [
            {"type": "mention", "offset": 0, "length": 13},
        ]});
        assert_eq!(
            reading(&fields),
            Reading {
                prompt: "look".into(),
                addressed: true,
                command: None
            }
        );
    }

    #[rstest]
    #[case::to_the_bot(json!({"from": {"id": 99, "is_bot": true}}), true)]
    #[case::to_somebody_else(json!({"from": {"id": 98}}), false)]
    #[case::to_the_notice_that_opened_the_topic(
        json!({"from": {"id": 99}, "forum_topic_created": {"name": "x"}}), false)]
    fn a_reply_addresses_its_author(#[case] replied: Value, #[case] addressed: bool) {
        assert_eq!(
            reading(&json!({"text": "yes", "reply_to_message": replied})).addressed,
            addressed
        );
    }

    #[test]
    fn two_mentions_are_both_removed() {
        let fields = json!({"text": "@helpdesk_bot hi @helpdesk_bot", "entities": [
            {"type": "mention", "offset": 17, "length": 13}, {"type": "mention", "offset": 0, "length": 13},
        ]});
        assert_eq!(reading(&fields).prompt, "hi");
    }

    #[test]
    fn a_sticker_says_nothing() {
        assert_eq!(read(&message(&json!({"sticker": {}})), &bot()), None);
    }

    #[test]
    fn bots_are_told_from_people() {
        let user = |id, is_bot| User {
            id,
            is_bot,
            username: None,
        };
        assert!(is_from_a_bot(&user(1, true), &bot()));
        assert!(is_from_a_bot(&user(99, false), &bot()));
        assert!(!is_from_a_bot(&user(1, false), &bot()));
    }
}
