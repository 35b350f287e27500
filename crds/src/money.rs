//! Amounts of money as users write them: `20`, `0.15`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::number_or_text::NumberOrText;

/// At most a million, in millionths.
const PATTERN: &str = r"^[0-9]{1,6}(\.[0-9]{1,6})?$";
const MOST: i64 = 999_999;
/// The decimals of [`PATTERN`].
const DECIMALS: usize = 6;
/// Millionths of a whole.
const MILLION: u64 = 1_000_000;

/// An amount of money in no particular currency; whole numbers may stand without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "NumberOrText", into = "String")]
pub struct Money(String);

impl From<NumberOrText> for Money {
    fn from(written: NumberOrText) -> Self {
        Self(written.into())
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.0
    }
}

impl From<&str> for Money {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Money {
    /// In millionths; `None` for what the schema does not admit.
    pub fn millionths(&self) -> Option<u64> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, "0"));
        let is_number = |text: &str| {
            (1..=DECIMALS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let fraction: u64 = format!("{fraction:0<DECIMALS$}").parse().ok()?;
        Some(whole * MILLION + fraction)
    }

    /// The amount as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": PATTERN,
            "minimum": 0,
            "maximum": MOST,
            "x-kubernetes-int-or-string": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("20", Some(20_000_000))]
    #[case("0.15", Some(150_000))]
    #[case("999999.999999", Some(999_999_999_999))]
    #[case("0.0375", Some(37_500))]
    #[case("1.", None)]
    #[case(".5", None)]
    #[case("-1", None)]
    #[case("+1", None)]
    #[case("1000000", None)]
    #[case("0.1234567", None)]
    #[case("ten", None)]
    fn an_amount_is_read_to_the_millionth(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(Money::from(text).millionths(), expected);
    }

    #[test]
    fn whole_numbers_and_strings_are_both_read() {
        let read = |json: &str| serde_json::from_str::<Money>(json).expect("an amount");
        assert_eq!(read("2"), Money::from("2"));
        assert_eq!(read("\"0.15\"").as_str(), "0.15");
    }
}
