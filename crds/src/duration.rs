//! Durations as the Gateway API writes them (GEP-2257): `10s`, `1h30m`, `250ms`.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pattern of GEP-2257.
const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// Four parts of five digits and a unit of two letters.
const MAX_LENGTH: u32 = 28;

/// The units; `ms` before `m`, which it begins with.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

/// A length of time as users write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(String);

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl DurationText {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it means; `None` where it is no duration.
    pub fn value(&self) -> Option<Duration> {
        let mut rest = self.0.as_str();
        let mut millis: u64 = 0;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let (unit, factor) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
            if !(1..=5).contains(&digits) {
                return None;
            }
            millis += number.parse::<u64>().ok()? * factor;
            parts += 1;
            rest = &tail[unit.len()..];
        }
        (1..=4)
            .contains(&parts)
            .then(|| Duration::from_millis(millis))
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH})
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10s", Some(10_000))]
    #[case("250ms", Some(250))]
    #[case("1h30m", Some(5_400_000))]
    #[case("2m1s5ms", Some(121_005))]
    #[case("99999h", Some(359_996_400_000))]
    #[case("0s", Some(0))]
    #[case("", None)]
    #[case("10", None)]
    #[case("1.5s", None)]
    #[case("-1s", None)]
    #[case("100000s", None)]
    #[case("1h1h1h1h1h", None)]
    #[case("1d", None)]
    #[case("s", None)]
    #[case("é", None)]
    fn a_duration_is_what_the_gateway_api_takes(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(
            DurationText::from(text).value(),
            millis.map(Duration::from_millis)
        );
    }
}
