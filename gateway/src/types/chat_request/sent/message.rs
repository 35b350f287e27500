//! One message of a chat, read in its text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::lists::Listed;
use super::once::Once;
use crate::types::chat_request::{Content, Message, ROLES, join};
use crate::types::extent::Extent;
use crate::types::open_object::Name;

/// A message, as all others know it.
pub(super) struct KnownMessage {
    pub(super) message: Message,
    /// Bytes of its calls of tools.
    pub(super) calls: usize,
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
                let mut role = Once::<Name<'_>>::default();
                let mut content = Once::<KnownContent>::default();
                let mut calls = Once::<Listed>::default();
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "role" => role.read(&mut map)?,
                        "content" => content.read(&mut map)?,
                        "tool_calls" => calls.read(&mut map)?,
                        _ => {
                            map.next_value::<Extent>()?;
                        }
                    }
                }
                let Name(role) = role.value.ok_or_else(|| Error::missing_field("role"))?;
                let role = ROLES.into_iter().find(|known| *known == role);
                let role = role.ok_or_else(|| Error::custom("an unknown role"))?;
                let calls = calls.value.map_or(0, |Listed(bytes)| bytes);
                let content = match content.value {
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
                let mut kind = Once::<Name<'_>>::default();
                let mut text = Once::<Name<'_>>::default();
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "type" => kind.read(&mut map)?,
                        "text" => text.read(&mut map)?,
                        _ => {
                            map.next_value::<Extent>()?;
                        }
                    }
                }
                let Name(kind) = kind.value.ok_or_else(|| Error::missing_field("type"))?;
                if kind != "text" {
                    return Ok(KnownPart(Content::Other(kind.into_owned())));
                }
                let Name(text) = text.value.ok_or_else(|| Error::missing_field("text"))?;
                Ok(KnownPart(Content::Text(text.into_owned())))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
