//! Lists in the text of a chat.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::types::chat_request::MOST_STOPS;
use crate::types::extent::Extent;

/// Texts that end an answer.
#[derive(Default)]
pub(super) struct Stops(pub(super) Vec<String>);

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

/// A list that is not empty, by its extent.
pub(super) struct Listed(pub(super) usize);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Listed;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Listed, A::Error> {
                let items = SeqAccessDeserializer::new(items);
                match Extent::deserialize(items)? {
                    Extent(bytes) if bytes > "[]".len() => Ok(Listed(bytes)),
                    Extent(_) => Err(Error::invalid_length(0, &self)),
                }
            }
        }

        deserializer.deserialize_seq(Items)
    }
}
