//! Texts of digits, which may stand without quotes in YAML where they are whole numbers.

use serde::Deserialize;

/// What is written: either form is the same text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum NumberOrText {
    /// Without quotes.
    Number(i64),
    /// With quotes, or with more than digits.
    Text(String),
}

impl From<NumberOrText> for String {
    fn from(written: NumberOrText) -> Self {
        match written {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        }
    }
}
