//! Reads a chat without taking its body apart: nearly all chats are as they should be, and most of them go on to an API
//! as they came.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use bytes::Bytes;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{ChatRequest, Content, MOST_STOPS, Message, ROLES, join};
use crate::types::extent::Extent;
use crate::types::open_object::Name;
use crate::types::request_body::SentBody;
use crate::types::{RequestBody, Task};

/// A chat whose fields all have their types and bounds. None for any other: whoever reads it field by field finds the
/// words for what is wrong, or that it is right all the same.
pub(super) fn read(bytes: &Bytes) -> Option<ChatRequest> {
    let text = std::str::from_utf8(bytes).ok()?;
    let known: Known<'_> = serde_json::from_str(text).ok()?;
    let stream = known.stream.flatten().unwrap_or(false);
    // What is not allowed without a stream is told elsewhere.
    if known.messages.is_empty() || (known.stream_options.is_some() && !stream) {
        return None;
    }
    let options = known.stream_options.map(|options| options.get());
    let options: Option<Options> = match options {
        Some(options) => Some(serde_json::from_str(options).ok()?),
        None => None,
    };
    let model = match known.model {
        Some(model) => Some(serde_json::from_str(model.get()).ok()?),
        None => None,
    };
    let max_tokens = known.max_completion_tokens.flatten();
    let max_tokens = max_tokens.or(known.max_tokens.flatten());
    let place = |value: &RawValue| place(text, value);
    let body = SentBody {
        text: bytes.clone(),
        model: known.model.map(place),
        stream_options: known.stream_options.map(place),
        tools: known.tools.map_or(0, |Listed(bytes)| bytes),
        calls: known.messages.iter().map(|message| message.calls).sum(),
    };
    let messages = known.messages.into_iter().map(|message| message.message);
    Some(ChatRequest {
        task: Task::Chat,
        model,
        messages: messages.collect(),
        stream,
        include_usage: options.and_then(|options| options.include_usage) == Some(true),
        choices: known.choices.flatten().map_or(1, NonZeroU32::get),
        best_of: known.best_of.flatten(),
        max_tokens: max_tokens.map(NonZeroU32::get),
        temperature: within(known.temperature.flatten(), 2.0)?,
        top_p: within(known.top_p.flatten(), 1.0)?,
        top_k: known.top_k.flatten(),
        seed: known.seed.flatten(),
        stop: known.stop.flatten().unwrap_or_default().0,
        body: RequestBody::from(body),
    })
}

/// A number from 0 to `most`, where there is one. None where it is out of bounds.
#[expect(
    clippy::option_option,
    reason = "out of bounds, absent and present are three cases"
)]
fn within(number: Option<f64>, most: f64) -> Option<Option<f64>> {
    match number {
        Some(number) if !(0.0..=most).contains(&number) => None,
        number => Some(number),
    }
}

fn place(text: &str, value: &RawValue) -> Range<usize> {
    let value = value.get();
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    start..start + value.len()
}

/// The fields that are looked at. Each may be `null`, which is as if it were absent.
#[derive(Default)]
struct Known<'a> {
    messages: Vec<KnownMessage>,
    model: Option<&'a RawValue>,
    stream: Option<Option<bool>>,
    stream_options: Option<&'a RawValue>,
    choices: Option<Option<NonZeroU32>>,
    best_of: Option<Option<u64>>,
    max_tokens: Option<Option<NonZeroU32>>,
    max_completion_tokens: Option<Option<NonZeroU32>>,
    temperature: Option<Option<f64>>,
    top_p: Option<Option<f64>>,
    top_k: Option<Option<u32>>,
    seed: Option<Option<u64>>,
    stop: Option<Option<Stops>>,
    tools: Option<Listed>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    include_usage: Option<bool>,
}

/// A value's first place; a second one of the same name is for those who know which counts.
fn once<T, E: Error>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

impl<'de> Deserialize<'de> for Known<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Known<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a chat")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Known<'de>, A::Error> {
                let mut known = Known::default();
                let mut messages = None;
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "messages" => once(&mut messages, "messages", map.next_value()?)?,
                        "model" => once(&mut known.model, "model", map.next_value()?)?,
                        "stream" => once(&mut known.stream, "stream", map.next_value()?)?,
                        "stream_options" => {
                            let place = &mut known.stream_options;
                            once(place, "stream_options", map.next_value()?)?;
                        }
                        "n" => once(&mut known.choices, "n", map.next_value()?)?,
                        "best_of" => once(&mut known.best_of, "best_of", map.next_value()?)?,
                        "max_tokens" => {
                            once(&mut known.max_tokens, "max_tokens", map.next_value()?)?;
                        }
                        "max_completion_tokens" => {
                            let place = &mut known.max_completion_tokens;
                            once(place, "max_completion_tokens", map.next_value()?)?;
                        }
                        "temperature" => {
                            once(&mut known.temperature, "temperature", map.next_value()?)?;
                        }
                        "top_p" => once(&mut known.top_p, "top_p", map.next_value()?)?,
                        "top_k" => once(&mut known.top_k, "top_k", map.next_value()?)?,
                        "seed" => once(&mut known.seed, "seed", map.next_value()?)?,
                        "stop" => once(&mut known.stop, "stop", map.next_value()?)?,
                        "tools" => once(&mut known.tools, "tools", map.next_value()?)?,
                        _ => {
                            map.next_value::<Extent>()?;
                        }
                    }
                }
                known.messages = messages.unwrap_or_default();
                Ok(known)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

struct KnownMessage {
    message: Message,
    /// Bytes of its calls of tools.
    calls: usize,
}

impl<'de> Deserialize<'de> for KnownMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = KnownMessage;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KnownMessage, A::Error> {
                let (mut role, mut content, mut calls) = (None, None, None);
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "role" => once(&mut role, "role", map.next_value::<Name<'_>>()?)?,
                        "content" => {
                            let said = map.next_value::<Option<KnownContent>>()?;
                            once(&mut content, "content", said)?;
                        }
                        "tool_calls" => once(&mut calls, "tool_calls", map.next_value()?)?,
                        _ => {
                            map.next_value::<Extent>()?;
                        }
                    }
                }
                let Name(role) = role.ok_or_else(|| Error::missing_field("role"))?;
                let role = ROLES.into_iter().find(|known| *known == role);
                let role = role.ok_or_else(|| Error::custom("an unknown role"))?;
                let Listed(calls) = calls.unwrap_or(Listed(0));
                let content = match content.flatten() {
                    // An empty list, or calls: seldom enough.
                    _ if calls > 0 => Content::Other("tool_calls".to_owned()),
                    Some(KnownContent(content)) => content,
                    None if matches!(role, "assistant" | "function") => Content::Absent,
                    None => return Err(Error::missing_field("content")),
                };
                Ok(KnownMessage {
                    message: Message { role, content },
                    calls,
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

struct KnownContent(Content);

impl<'de> Deserialize<'de> for KnownContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrParts;

        impl<'de> Visitor<'de> for TextOrParts {
            type Value = KnownContent;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or parts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<KnownContent, E> {
                Ok(KnownContent(Content::Text(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<KnownContent, A::Error> {
                let mut all = Content::Text(String::new());
                while let Some(KnownPart(part)) = parts.next_element()? {
                    all = join(all, part);
                }
                Ok(KnownContent(all))
            }
        }

        deserializer.deserialize_any(TextOrParts)
    }
}

struct KnownPart(Content);

impl<'de> Deserialize<'de> for KnownPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = KnownPart;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a part of a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KnownPart, A::Error> {
                let (mut kind, mut text) = (None, None);
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "type" => once(&mut kind, "type", map.next_value::<Name<'_>>()?)?,
                        "text" => once(&mut text, "text", map.next_value::<Name<'_>>()?)?,
                        _ => {
                            map.next_value::<Extent>()?;
                        }
                    }
                }
                let Name(kind) = kind.ok_or_else(|| Error::missing_field("type"))?;
                if kind != "text" {
                    return Ok(KnownPart(Content::Other(kind.into_owned())));
                }
                let Name(text) = text.ok_or_else(|| Error::missing_field("text"))?;
                Ok(KnownPart(Content::Text(text.into_owned())))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Texts that end an answer.
#[derive(Default)]
struct Stops(Vec<String>);

impl<'de> Deserialize<'de> for Stops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTexts;

        impl<'de> Visitor<'de> for TextOrTexts {
            type Value = Stops;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or a few")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Stops, E> {
                Ok(Stops(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Stops, A::Error> {
                let mut stops = Vec::new();
                while let Some(text) = texts.next_element()? {
                    stops.push(text);
                }
                if stops.len() > MOST_STOPS {
                    return Err(Error::invalid_length(stops.len(), &self));
                }
                Ok(Stops(stops))
            }
        }

        deserializer.deserialize_any(TextOrTexts)
    }
}

/// A list that is not empty, by its extent. Where there is `null`, it is 0.
struct Listed(usize);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Listed;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_unit<E: Error>(self) -> Result<Listed, E> {
                Ok(Listed(0))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Listed, A::Error> {
                let items = SeqAccessDeserializer::new(items);
                match Extent::deserialize(items)? {
                    Extent(bytes) if bytes > "[]".len() => Ok(Listed(bytes)),
                    Extent(_) => Err(Error::invalid_length(0, &self)),
                }
            }
        }

        deserializer.deserialize_any(Items)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::types::parse_object;

    /// What is read without taking a body apart is what is read of its fields.
    fn alike(text: &str) -> Option<ChatRequest> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let request = read(&bytes)?;
        let fields = parse_object(&bytes).expect("an object");
        let expected = ChatRequest::from_object(fields).expect("a chat");
        assert_eq!(request, expected, "{text}");
        assert_eq!(request.body.tool_bytes(), expected.body.tool_bytes());
        assert_eq!(request.body.call_bytes(), expected.body.call_bytes());
        Some(request)
    }

    fn chat(name: &str, value: Value) -> String {
        let mut body = json!({"messages": [{"role": "user", "content": "hi"}], "model": "m"});
        body[name] = value;
        body.to_string()
    }

    #[rstest]
    #[case("novel", json!({"deep": [1, -2, 2.5, null, true, "x"]}))]
    #[case("temperature", json!(2))]
    #[case("temperature", Value::Null)]
    #[case("top_p", json!(0.5))]
    #[case("top_k", json!(0))]
    #[case("seed", json!(u64::MAX))]
    #[case("n", json!(3))]
    #[case("best_of", json!(5))]
    #[case("max_tokens", json!(7))]
    #[case("max_completion_tokens", json!(7))]
    #[case("stop", json!("x"))]
    #[case("stop", json!(["a", "b", "c", "d"]))]
    #[case("stop", Value::Null)]
    #[case("tools", json!([{"type": "function", "function": {"name": "f"}}]))]
    #[case("tools", Value::Null)]
    #[case("stream", json!(true))]
    #[case("messages", json!([{"role": "system", "content": "a\"\n\u{e9}"}, {"role": "assistant", "name": "x"}]))]
    #[case("messages", json!([{"role": "user", "content": [
        {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]))]
    #[case("messages", json!([{"role": "user", "content": [
        {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}]}]))]
    #[case("messages", json!([{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "7"}, {"role": "user", "content": "?", "tool_calls": null}]))]
    fn what_is_right_is_read_at_once(#[case] name: &str, #[case] value: Value) {
        assert!(alike(&chat(name, value)).is_some());
    }

    #[rstest]
    #[case("temperature", json!(2.1))]
    #[case("top_p", json!(-0.1))]
    #[case("n", json!(0))]
    #[case("max_tokens", json!(0))]
    #[case("max_tokens", json!(1.0))]
    #[case("stop", json!(["a", "b", "c", "d", "e"]))]
    #[case("stream", json!("yes"))]
    #[case("stream_options", json!({"include_usage": true}))]
    #[case("model", json!(7))]
    #[case("model", Value::Null)]
    #[case("seed", json!(-1))]
    #[case("tools", json!([]))]
    #[case("tools", json!({}))]
    #[case("messages", json!([]))]
    #[case("messages", json!([{"role": "wizard", "content": "x"}]))]
    #[case("messages", json!([{"role": "user"}]))]
    #[case("messages", json!([{"role": "user", "content": [{"text": "x"}]}]))]
    #[case("messages", json!([{"role": "user", "content": [{"type": "text"}]}]))]
    fn what_needs_a_look_or_a_word_is_left(#[case] name: &str, #[case] value: Value) {
        assert!(alike(&chat(name, value)).is_none());
    }

    #[test]
    fn a_stream_may_have_options() {
        let chat = |options: &str| {
            let head = r#"{"messages": [{"role": "user", "content": "hi"}], "stream": true"#;
            alike(&format!(r#"{head}, "stream_options": {options}}}"#))
        };
        for (options, expected) in [("{}", false), (r#"{"include_usage": true}"#, true)] {
            assert_eq!(chat(options).expect("a chat").include_usage, expected);
        }
        assert_eq!(chat("null"), None);
        assert_eq!(chat(r#"{"novel": 1}"#), None);
    }

    #[test]
    fn fields_that_come_twice_are_left() {
        let messages = r#""messages": [{"role": "user", "content": "hi"}]"#;
        assert_eq!(
            alike(&format!(r#"{{"n": 1, {messages}, "\u006e": 2}}"#)),
            None
        );
        let twice = messages.replace(r#""content""#, r#""content": "a", "content""#);
        assert_eq!(alike(&format!("{{{twice}}}")), None);
    }

    #[test]
    fn whatever_is_read_can_be_read_again() {
        for depth in 100..140 {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            for name in ["novel", "tools"] {
                let text = chat(name, json!("here")).replace(r#""here""#, &deep);
                alike(&text);
            }
            let message = json!([{"role": "assistant", "content": "x", "tool_calls": "here"}]);
            alike(&chat("messages", message).replace(r#""here""#, &deep));
        }
    }
}
