//! How long a value is, without writing it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::open_object::Name;

/// What a number with a fraction takes, by and large.
const OF_A_FRACTION: usize = 8;

/// Bytes of a value in JSON, without spaces and as if nothing in it had to be escaped. Whatever has an extent can be read
/// as a value, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent(pub(super) usize);

impl<'de> Deserialize<'de> for Extent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measure)
    }
}

struct Measure;

impl<'de> Visitor<'de> for Measure {
    type Value = Extent;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Extent, E> {
        Ok(Extent("null".len()))
    }

    fn visit_bool<E: Error>(self, is_true: bool) -> Result<Extent, E> {
        Ok(Extent(if is_true { "true" } else { "false" }.len()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Extent, E> {
        let digits = number.checked_ilog10().unwrap_or(0) + 1;
        Ok(Extent(digits as usize))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Extent, E> {
        let Extent(digits) = self.visit_u64(number.unsigned_abs())?;
        Ok(Extent(digits + usize::from(number < 0)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Extent, E> {
        Ok(Extent(OF_A_FRACTION))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Extent, E> {
        Ok(Extent(text.len() + 2))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Extent, A::Error> {
        let mut sum = Sum::default();
        while let Some(Extent(item)) = items.next_element()? {
            sum.add(item);
        }
        Ok(sum.enclosed())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Extent, A::Error> {
        let mut sum = Sum::default();
        while let Some((Name(name), Extent(value))) = fields.next_entry()? {
            sum.add(name.len() + 3 + value);
        }
        Ok(sum.enclosed())
    }
}

#[derive(Default)]
struct Sum {
    members: usize,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, member: usize) {
        self.members += 1;
        self.bytes += member;
    }

    /// With commas and brackets.
    fn enclosed(self) -> Extent {
        Extent(self.bytes + self.members.saturating_sub(1) + 2)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_as_long_as_it_is_written() {
        for value in [
            json!(null),
            json!([true, false, 0, 7, 10, -5, -10, u64::MAX, i64::MIN]),
            json!({"type": "function", "function": {"name": "f", "parameters": {}}, "list": []}),
            json!("text"),
        ] {
            let text = value.to_string();
            let extent = Extent::deserialize(&value).expect("measured");
            assert_eq!(extent, Extent(text.len()), "{text}");
            assert_eq!(
                serde_json::from_str::<Extent>(&text).expect("measured"),
                extent
            );
        }
    }

    #[test]
    fn what_is_too_deep_has_none() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for depth in 120..140 {
            let text = deep(depth);
            let is_readable = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(serde_json::from_str::<Extent>(&text).is_ok(), is_readable);
        }
    }
}
