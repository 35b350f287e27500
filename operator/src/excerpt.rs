//! As much of what others say as fits into a status.

/// In bytes: a few lines of a terminal.
const LONGEST: usize = 300;

/// The beginning of a text, without the space around it; an ellipsis where something is left out.
pub fn excerpt(text: &str) -> String {
    let text = text.trim();
    let end = text.floor_char_boundary(LONGEST);
    if end < text.len() {
        format!("{}…", &text[..end])
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt(" short\n"), "short");
        let long = excerpt(&"é".repeat(LONGEST));
        assert_eq!(long.chars().count(), LONGEST / 2 + 1);
        assert!(long.ends_with("é…"));
    }
}
