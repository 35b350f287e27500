//! Kubernetes resource quantities as users write them: `2`, `500m`, `8Gi`.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::number_or_text::NumberOrText;

/// The pattern that the API server itself publishes for quantities.
const PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// A resource quantity; whole numbers may stand without quotes, as everywhere in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "NumberOrText", into = "String")]
pub struct Quantity(String);

impl From<NumberOrText> for Quantity {
    fn from(written: NumberOrText) -> Self {
        Self(written.into())
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Quantity> for ApiQuantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl Quantity {
    /// As a whole number, fractions rounded up; `None` where it is negative, not a quantity, or beyond all numbers.
    pub fn whole(&self) -> Option<u64> {
        let nano = nano(&self.0).filter(|nano| *nano >= 0)?;
        u64::try_from(nano.checked_add(999_999_999)? / 1_000_000_000).ok()
    }

    /// The quantity as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": PATTERN,
            "x-kubernetes-int-or-string": true,
        })
    }
}

/// The value of a quantity in billionths, if the text is one that the API server takes.
pub fn nano(text: &str) -> Option<i128> {
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 {
        return None;
    }
    let end = digits
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let value = scale(number, suffix)?;
    Some(if text.starts_with('-') { -value } else { value })
}

fn scale(number: &str, suffix: &str) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = unit(suffix)?;
    let exponent = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let product = mantissa.checked_mul(factor)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        product.checked_mul(power)
    } else {
        // What is finer than a billionth is rounded up, as the API server does.
        Some(product / power + i128::from(product % power != 0))
    }
}

/// A unit as a factor and a power of ten.
fn unit(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((1024_i128.pow(power), 0));
    match suffix {
        "" => Some((1, 0)),
        "n" => Some((1, -9)),
        "u" => Some((1, -6)),
        "m" => Some((1, -3)),
        "k" => Some((1, 3)),
        "M" => Some((1, 6)),
        "G" => Some((1, 9)),
        "T" => Some((1, 12)),
        "P" => Some((1, 15)),
        "E" => Some((1, 18)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-18..=18).contains(&exponent).then_some((1, exponent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_strings_are_both_read() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).expect("a quantity");
        assert_eq!(read("2"), Quantity::from("2"));
        assert_eq!(read("\"8Gi\"").as_str(), "8Gi");
    }

    #[test]
    fn a_quantity_is_a_whole_number() {
        let whole = |text: &str| Quantity::from(text).whole();
        assert_eq!(whole("8Gi"), Some(8 << 30));
        assert_eq!(whole("1.5k"), Some(1500));
        assert_eq!(whole("1m"), Some(1));
        assert_eq!(whole("-1"), None);
        assert_eq!(whole("many"), None);
    }
}
