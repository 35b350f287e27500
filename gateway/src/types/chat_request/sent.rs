//! Reads a chat without taking its body apart: nearly all chats are as they should be, and most of them go on to an API
//! as they came.

mod lists;
mod message;
mod once;

use std::fmt;
use std::num::NonZeroU32;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::ChatRequest;
use crate::types::extent::Extent;
use crate::types::open_object::Name;
use crate::types::place::place;
use crate::types::request_body::SentBody;
use crate::types::{RequestBody, Task};
use lists::{Listed, Stops};
use message::KnownMessage;
use once::Once;

/// A chat whose fields all have their types and bounds. None for any other: whoever reads it field by field finds the
/// words for what is wrong, or that it is right all the same.
pub(super) fn read(bytes: &Bytes) -> Option<ChatRequest> {
    let text = std::str::from_utf8(bytes).ok()?;
    let known: Known<'_> = serde_json::from_str(text).ok()?;
    let stream = known.stream.value.unwrap_or(false);
    let has_options = known.stream_options.is_there;
    let is_within = |number: Option<f64>, most| number.is_none_or(|it| (0.0..=most).contains(&it));
    // What is not allowed without a stream is told elsewhere.
    if (has_options && !stream)
        || !is_within(known.temperature.value, 2.0)
        || !is_within(known.top_p.value, 1.0)
    {
        return None;
    }
    let messages = known.messages.value.filter(|all| !all.is_empty())?;
    let mut include_usage = false;
    if has_options {
        let options: Options = serde_json::from_str(known.stream_options.value?.get()).ok()?;
        include_usage = options.include_usage.unwrap_or(false);
    }
    let mut model = None;
    if known.model.is_there {
        model = Some(serde_json::from_str(known.model.value?.get()).ok()?);
    }
    let place = |value: &RawValue| place(text, value);
    let body = SentBody {
        text: bytes.clone(),
        model: known.model.value.map(place),
        stream_options: known.stream_options.value.map(place),
        tools: known.tools.value.map_or(0, |Listed(bytes)| bytes),
        calls: messages.iter().map(|message| message.calls).sum(),
    };
    let max_tokens = known.max_completion_tokens.value.or(known.max_tokens.value);
    Some(ChatRequest {
        task: Task::Chat,
        model,
        messages: messages
            .into_iter()
            .map(|message| message.message)
            .collect(),
        stream,
        include_usage,
        choices: known.choices.value.map_or(1, NonZeroU32::get),
        best_of: known.best_of.value,
        max_tokens: max_tokens.map(NonZeroU32::get),
        temperature: known.temperature.value,
        top_p: known.top_p.value,
        top_k: known.top_k.value,
        seed: known.seed.value,
        stop: known.stop.value.unwrap_or_default().0,
        body: RequestBody::from(body),
    })
}

/// The fields that are looked at.
#[derive(Default)]
struct Known<'a> {
    messages: Once<Vec<KnownMessage>>,
    model: Once<&'a RawValue>,
    stream: Once<bool>,
    stream_options: Once<&'a RawValue>,
    choices: Once<NonZeroU32>,
    best_of: Once<u64>,
    max_tokens: Once<NonZeroU32>,
    max_completion_tokens: Once<NonZeroU32>,
    temperature: Once<f64>,
    top_p: Once<f64>,
    top_k: Once<u32>,
    seed: Once<u64>,
    stop: Once<Stops>,
    tools: Once<Listed>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    include_usage: Option<bool>,
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
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "messages" => known.messages.read(&mut map)?,
                        "model" => known.model.read(&mut map)?,
                        "stream" => known.stream.read(&mut map)?,
                        "stream_options" => known.stream_options.read(&mut map)?,
                        "n" => known.choices.read(&mut map)?,
                        "best_of" => known.best_of.read(&mut map)?,
                        "max_tokens" => known.max_tokens.read(&mut map)?,
                        "max_completion_tokens" => known.max_completion_tokens.read(&mut map)?,
                        "temperature" => known.temperature.read(&mut map)?,
                        "top_p" => known.top_p.read(&mut map)?,
                        "top_k" => known.top_k.read(&mut map)?,
                        "seed" => known.seed.read(&mut map)?,
                        "stop" => known.stop.read(&mut map)?,
                        "tools" => known.tools.read(&mut map)?,
                        _ => {
                            map.next_value::<Extent>()?;
                        }
                    }
                }
                Ok(known)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests;
