//! Objects of which some fields are known and the others are kept.
//!
//! As `#[serde(flatten)]` reads them, which keeps every field aside first and sorts them afterwards: twice the work.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Implements `Deserialize` for a struct from its known fields, each with what stands for it where it is absent; `extra`
/// takes the others.
macro_rules! open_object {
    ($object:ident { $($field:ident = $absent:expr),+ $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $object {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $object;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$object, A::Error> {
                        $(let mut $field = None;)+
                        let mut extra = serde_json::Map::new();
                        while let Some($crate::types::open_object::Name(name)) = map.next_key()? {
                            match &*name {
                                $(stringify!($field) => {
                                    if $field.replace(map.next_value()?).is_some() {
                                        let name = stringify!($field);
                                        return Err(serde::de::Error::duplicate_field(name));
                                    }
                                })+
                                _ => {
                                    let value = map.next_value()?;
                                    extra.insert(name.into_owned(), value);
                                }
                            }
                        }
                        Ok($object {
                            $($field: $field.unwrap_or_else($absent),)+
                            extra,
                        })
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

pub(super) use open_object;

/// The name of a field, borrowed where it has no escapes.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a field")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    #[derive(Debug, PartialEq)]
    struct Known {
        number: u32,
        word: Option<String>,
        extra: Map<String, Value>,
    }

    open_object!(Known { number = || 7, word = Option::default });

    fn read(text: &str) -> Result<Known, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn known_fields_have_their_types_and_others_are_kept_in_their_order() {
        let all = read(r#"{"z": 1, "number": 3, "nu\u006dber2": [], "word": "w", "a": null}"#);
        let Known {
            number,
            word,
            extra,
        } = all.expect("readable");
        assert_eq!((number, word.as_deref()), (3, Some("w")));
        let extra: Vec<_> = extra.into_iter().collect();
        let expected = [("z", json!(1)), ("number2", json!([])), ("a", json!(null))];
        assert_eq!(
            extra,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }

    #[test]
    fn what_is_absent_has_its_default_and_what_is_wrong_is_told() {
        let nothing = Known {
            number: 7,
            word: None,
            extra: Map::new(),
        };
        assert_eq!(read(r#"{"word": null}"#), Ok(nothing));
        let told = |text| read(text).expect_err("unreadable");
        assert!(told(r#"{"number": "x"}"#).contains("expected u32"));
        assert!(told(r#"{"number": 1, "number": 2}"#).contains("duplicate field `number`"));
        assert!(told("[]").contains("expected an object"));
    }

    #[test]
    fn values_in_memory_are_read_alike() {
        let known: Known = serde_json::from_value(json!({"number": 1, "x": {}})).expect("readable");
        assert_eq!((known.number, known.extra.len()), (1, 1));
    }
}
