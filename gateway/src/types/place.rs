//! Where a value stands in the text that it was found in.

use std::ops::Range;

use serde_json::value::RawValue;

/// The bytes of a value that was read from `text`.
pub(super) fn place(text: &str, value: &RawValue) -> Range<usize> {
    let value = value.get();
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    start..start + value.len()
}
