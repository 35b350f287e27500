//! What may become markup of calls when more text comes.

pub(super) const BEGIN: &str = "<tool_call>";
pub(super) const END: &str = "</tool_call>";

/// Bytes at the end of a text that may belong to a tag: white space, and the beginning of one.
pub(super) fn undecided(text: &str) -> usize {
    let longest = |tag: &str| {
        let lengths = (1..tag.len()).rev();
        lengths
            .into_iter()
            .find(|&length| text.ends_with(&tag[..length]))
            .unwrap_or(0)
    };
    let begun = longest(BEGIN).max(longest(END));
    let before = &text[..text.len() - begun];
    text.len() - before.trim_end().len()
}

/// Whether a text may still become another, and is not yet.
pub(super) fn is_beginning(text: &str, whole: &str) -> bool {
    text.len() < whole.len() && whole.starts_with(text)
}
