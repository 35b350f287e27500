//! The key-value part of a GGUF file, and typed access to it.

use std::{collections::HashMap, io::Read};

use thiserror::Error;

use super::{GgufError, cursor::Cursor};

/// The shortest possible entry: an empty key, a type, one byte of value.
const SHORTEST_ENTRY: u64 = 13;

/// One metadata value. The widths of numbers in the file carry no meaning, so they are widened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any of the four unsigned widths.
    Unsigned(u64),
    /// Any of the four signed widths.
    Signed(i64),
    /// A 32 or 64 bit float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A text.
    String(String),
    /// A list of values of one type.
    Array(Vec<Self>),
}

/// Why a metadata entry could not be used.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// A key that the model needs is absent.
    #[error("the metadata key {key} is missing")]
    Missing {
        /// The key.
        key: String,
    },
    /// The key holds another type, or a number out of range.
    #[error("the metadata key {key} holds {found}, where {expected} is expected")]
    WrongType {
        /// The key.
        key: String,
        /// What it holds.
        found: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

/// All metadata of a file.
#[derive(Debug, Default)]
pub(crate) struct Metadata(HashMap<String, Value>);

impl Metadata {
    pub(super) fn read<R: Read>(cursor: &mut Cursor<R>, count: u64) -> Result<Self, GgufError> {
        cursor.expect_room(count, SHORTEST_ENTRY, "the list of metadata entries")?;
        let mut entries = HashMap::new();
        for index in 0..count {
            let key = cursor.string(&format!("the key of metadata entry {index}"))?;
            let kind = cursor.u32(&format!("the type of metadata key {key}"))?;
            let value = read_value(cursor, kind, &key)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(cursor.corrupt(&format!("metadata key {key}"), "occurs twice"));
            }
        }
        Ok(Self(entries))
    }

    /// The value of a key, whatever its type.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// A number that must be there.
    pub(crate) fn u32(&self, key: &str) -> Result<u32, MetadataError> {
        self.optional_u32(key)?.ok_or_else(|| missing(key))
    }

    /// A number that may be absent.
    pub(crate) fn optional_u32(&self, key: &str) -> Result<Option<u32>, MetadataError> {
        self.optional(key, "a number from 0 to 4294967295", |value| match value {
            Value::Unsigned(number) => u32::try_from(*number).ok(),
            Value::Signed(number) => u32::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A floating-point number that may be absent.
    pub(crate) fn optional_f64(&self, key: &str) -> Result<Option<f64>, MetadataError> {
        self.optional(key, "a finite number", |value| match value {
            Value::Float(number) if number.is_finite() => Some(*number),
            _ => None,
        })
    }

    /// A text that must be there.
    pub(crate) fn string(&self, key: &str) -> Result<&str, MetadataError> {
        self.optional_string(key)?.ok_or_else(|| missing(key))
    }

    /// A text that may be absent.
    pub(crate) fn optional_string(&self, key: &str) -> Result<Option<&str>, MetadataError> {
        self.optional(key, "a text", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A list of texts that must be there.
    pub(crate) fn strings(&self, key: &str) -> Result<Vec<&str>, MetadataError> {
        let strings = self.optional(key, "a list of texts", |value| match value {
            Value::Array(values) => values
                .iter()
                .map(|value| {
                    if let Value::String(text) = value {
                        Some(text.as_str())
                    } else {
                        None
                    }
                })
                .collect(),
            _ => None,
        })?;
        strings.ok_or_else(|| missing(key))
    }

    /// A yes or no that may be absent.
    pub(crate) fn optional_bool(&self, key: &str) -> Result<Option<bool>, MetadataError> {
        self.optional(key, "a boolean", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// A list of floating-point numbers that must be there.
    pub(crate) fn floats(&self, key: &str) -> Result<Vec<f64>, MetadataError> {
        let floats = self.optional(
            key,
            "a list of floating-point numbers",
            |value| match value {
                Value::Array(values) => values
                    .iter()
                    .map(|value| match value {
                        Value::Float(number) => Some(*number),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            },
        )?;
        floats.ok_or_else(|| missing(key))
    }

    /// A list of whole numbers that must be there.
    pub(crate) fn integers(&self, key: &str) -> Result<Vec<i64>, MetadataError> {
        let integers = self.optional(key, "a list of whole numbers", |value| match value {
            Value::Array(values) => values
                .iter()
                .map(|value| match value {
                    Value::Signed(number) => Some(*number),
                    Value::Unsigned(number) => i64::try_from(*number).ok(),
                    _ => None,
                })
                .collect(),
            _ => None,
        })?;
        integers.ok_or_else(|| missing(key))
    }

    fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, MetadataError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        let wrong_type = || MetadataError::WrongType {
            key: key.to_owned(),
            found: value.kind(),
            expected,
        };
        convert(value).map(Some).ok_or_else(wrong_type)
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "a whole number",
            Self::Float(_) => "a floating-point number",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a text",
            Self::Array(_) => "a list",
        }
    }
}

fn missing(key: &str) -> MetadataError {
    MetadataError::Missing {
        key: key.to_owned(),
    }
}

fn read_value<R: Read>(cursor: &mut Cursor<R>, kind: u32, key: &str) -> Result<Value, GgufError> {
    let what = format!("the value of metadata key {key}");
    if kind != 9 {
        return read_scalar(cursor, kind, &what);
    }
    let element = cursor.u32(&what)?;
    let count = cursor.u64(&what)?;
    cursor.expect_room(count, scalar_size(element), &what)?;
    (0..count)
        .map(|_| read_scalar(cursor, element, &what))
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

/// The fewest bytes a value of this type takes in the file.
fn scalar_size(kind: u32) -> u64 {
    match kind {
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        _ => 1,
    }
}

fn read_scalar<R: Read>(cursor: &mut Cursor<R>, kind: u32, what: &str) -> Result<Value, GgufError> {
    Ok(match kind {
        0 => Value::Unsigned(u8::from_le_bytes(cursor.bytes(what)?).into()),
        1 => Value::Signed(i8::from_le_bytes(cursor.bytes(what)?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(cursor.bytes(what)?).into()),
        3 => Value::Signed(i16::from_le_bytes(cursor.bytes(what)?).into()),
        4 => Value::Unsigned(u32::from_le_bytes(cursor.bytes(what)?).into()),
        5 => Value::Signed(i32::from_le_bytes(cursor.bytes(what)?).into()),
        6 => Value::Float(f32::from_le_bytes(cursor.bytes(what)?).into()),
        7 => match cursor.bytes(what)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            [other] => return Err(cursor.corrupt(what, format!("is {other}, which is no boolean"))),
        },
        8 => Value::String(cursor.string(what)?),
        10 => Value::Unsigned(u64::from_le_bytes(cursor.bytes(what)?)),
        11 => Value::Signed(i64::from_le_bytes(cursor.bytes(what)?)),
        12 => Value::Float(f64::from_le_bytes(cursor.bytes(what)?)),
        other => return Err(cursor.corrupt(what, format!("has the unknown type {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: u32, value: &[u8]) -> Result<Metadata, GgufError> {
        let mut bytes = 1_u64.to_le_bytes().to_vec();
        bytes.push(b'k');
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
        Metadata::read(&mut Cursor::new(bytes.as_slice(), bytes.len() as u64), 1)
    }

    #[test]
    fn numbers_of_every_width_are_read() {
        assert_eq!(read(0, &[7]).expect("u8").u32("k").expect("fits"), 7);
        assert_eq!(
            read(5, &7_i32.to_le_bytes())
                .expect("i32")
                .u32("k")
                .expect("fits"),
            7
        );
        assert_eq!(
            read(10, &7_u64.to_le_bytes())
                .expect("u64")
                .u32("k")
                .expect("fits"),
            7
        );
        assert_eq!(
            read(6, &0.5_f32.to_le_bytes())
                .expect("f32")
                .optional_f64("k")
                .expect("number"),
            Some(0.5)
        );
    }

    #[test]
    fn a_negative_number_is_no_count() {
        let metadata = read(5, &(-1_i32).to_le_bytes()).expect("well formed");
        let message = metadata.u32("k").expect_err("negative").to_string();
        assert_eq!(
            message,
            "the metadata key k holds a whole number, where a number from 0 to 4294967295 is expected"
        );
    }

    #[test]
    fn a_list_longer_than_the_file_is_refused_before_it_is_read() {
        let mut value = 8_u32.to_le_bytes().to_vec();
        value.extend(u64::MAX.to_le_bytes());
        let message = read(9, &value).expect_err("too long").to_string();
        assert!(message.contains("the value of metadata key k"), "{message}");
    }

    #[test]
    fn an_unknown_type_and_a_wrong_boolean_name_the_key() {
        assert!(
            read(13, &[0])
                .expect_err("unknown type")
                .to_string()
                .contains("metadata key k")
        );
        assert!(
            read(7, &[2])
                .expect_err("no boolean")
                .to_string()
                .contains("is 2, which is no boolean")
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let message = Metadata::default()
            .string("tokenizer.ggml.model")
            .expect_err("absent")
            .to_string();
        assert_eq!(message, "the metadata key tokenizer.ggml.model is missing");
    }
}
