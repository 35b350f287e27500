//! Turns the bytes of tokens into text, without ever giving out a part of a character.

/// Collects bytes until they are whole characters.
#[derive(Debug, Default)]
pub(crate) struct TextStream {
    pending: Vec<u8>,
}

impl TextStream {
    /// Adds a token's bytes, and returns the text that is complete. Bytes that can be no text become U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut used = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            let is_last = used + invalid.len() == self.pending.len();
            if invalid.is_empty() || is_last && may_continue(invalid) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            used += invalid.len();
        }
        self.pending.drain(..used);
        text
    }

    /// What is left when no more bytes come.
    pub(crate) fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Whether bytes are the beginning of a character, rather than a mistake.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_character_comes_when_its_last_byte_has_come() {
        let mut stream = TextStream::default();
        let bytes = "a🙂".as_bytes();
        assert_eq!(stream.push(&bytes[..3]), "a");
        assert_eq!(stream.push(&bytes[3..4]), "");
        assert_eq!(stream.push(&bytes[4..]), "🙂");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn impossible_bytes_are_replaced_at_once() {
        let mut stream = TextStream::default();
        assert_eq!(stream.push(b"\xffa\xf0\x9f"), "\u{fffd}a");
        assert_eq!(stream.push(b"b"), "\u{fffd}b");
    }

    #[test]
    fn an_unfinished_character_at_the_end_is_replaced() {
        let mut stream = TextStream::default();
        assert_eq!(stream.push("é".as_bytes().split_at(1).0), "");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn the_whole_is_the_same_however_it_is_cut(
            bytes in prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>()],
            size in 1_usize..5,
        ) {
            let mut stream = TextStream::default();
            let mut text: String = bytes.chunks(size).map(|piece| stream.push(piece)).collect();
            text.push_str(&stream.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
