//! Reads a chat without taking its body apart: nearly all chats are as they should be, and most of them go on to an API
//! as they came.

mod lists;
mod message;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::ChatRequest;
use crate::types::extent::Extent;
use crate::types::open_object::Name;
use crate::types::request_body::SentBody;
use crate::types::{RequestBody, Task};
use lists::{Listed, Stops};
use message::KnownMessage;

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

#[cfg(test)]
mod tests;
