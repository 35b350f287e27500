//! How an answer is cut into messages. Pure.

/// The longest message that Telegram takes, in UTF-16 code units.
pub(crate) const MESSAGE_LIMIT: usize = 4096;

/// Cut a text into messages of at most `limit` UTF-16 code units: between paragraphs where that leaves a piece of
/// decent size, else between lines, else between words, else between characters. White space at the cuts is
/// dropped; a text without anything visible gives no message.
pub(crate) fn split(text: &str, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(cut(rest, limit));
        pieces.push(piece.trim_end().to_owned());
        rest = tail.trim_start();
    }
    pieces
}

/// The byte at which the first piece of a text without leading white space ends.
fn cut(text: &str, limit: usize) -> usize {
    let end = prefix(text, limit);
    if end == text.len() {
        return end;
    }
    // A separator right behind the window is a border too.
    let follows = text[end..].chars().next().map_or(0, char::len_utf8);
    let window = &text[..end + follows];
    let decent = end / 2;
    let paragraph = window.rfind("\n\n").filter(|at| *at >= decent);
    let line = || window.rfind('\n').filter(|at| *at >= decent);
    let word = || window.rfind(char::is_whitespace);
    paragraph.or_else(line).or_else(word).unwrap_or(end)
}

/// The length in bytes of the longest prefix within `limit` code units; at least one character, so that a limit of
/// one cannot stall on a character of two.
fn prefix(text: &str, limit: usize) -> usize {
    let mut units = 0;
    for (at, character) in text.char_indices() {
        units += character.len_utf16();
        if units > limit && at > 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::short("hello", 10, &["hello"])]
    #[case::empty("", 10, &[])]
    #[case::blank(" \n\t ", 10, &[])]
    #[case::words("one two three", 8, &["one two", "three"])]
    #[case::a_border_exactly_at_the_limit("one two three", 7, &["one two", "three"])]
    #[case::an_early_line_is_no_reason_to_cut("one\ntwo three", 8, &["one\ntwo", "three"])]
    #[case::a_line_in_the_second_half("first one\nb c", 12, &["first one", "b c"])]
    #[case::a_paragraph_before_a_line("alphas\n\nbe\nga de", 12, &["alphas", "be\nga de"])]
    #[case::an_early_paragraph_is_no_reason_to_cut("a\n\nbeta gamma delta", 14, &["a\n\nbeta gamma", "delta"])]
    #[case::no_border("abcdefgh", 3, &["abc", "def", "gh"])]
    #[case::surrogate_pairs_stay_whole("😀😀😀", 3, &["😀", "😀", "😀"])]
    #[case::surrogate_pairs_fill_the_limit("😀😀😀", 4, &["😀😀", "😀"])]
    fn texts_are_cut_at_the_best_border(
        #[case] text: &str,
        #[case] limit: usize,
        #[case] expected: &[&str],
    ) {
        assert_eq!(split(text, limit), expected);
    }

    fn visible(text: &str) -> String {
        text.chars()
            .filter(|character| !character.is_whitespace())
            .collect()
    }

    proptest! {
        #[test]
        fn nothing_visible_is_lost_and_no_piece_is_too_long_or_blank(
            text in "[a-c \n😀é\u{301}]{0,300}",
            limit in 2_usize..40,
        ) {
            let pieces = split(&text, limit);
            for piece in &pieces {
                prop_assert!(piece.encode_utf16().count() <= limit);
                prop_assert!(!piece.trim().is_empty());
            }
            prop_assert_eq!(visible(&pieces.concat()), visible(&text));
        }
    }
}
