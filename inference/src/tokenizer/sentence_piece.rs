//! The tokens of SentencePiece: text in which U+2581 stands for a space, and `<0x0A>` for a byte that is no letter.

use tokenizers::{DecoderWrapper, decoders::sequence::Sequence};

/// What stands for a space.
const SPACE: char = '\u{2581}';

/// Whether a tokenizer's decoder reads such tokens.
pub(super) fn is_decoder(decoder: Option<&DecoderWrapper>) -> bool {
    match decoder {
        Some(DecoderWrapper::Metaspace(_) | DecoderWrapper::ByteFallback(_)) => true,
        Some(DecoderWrapper::Sequence(sequence)) => {
            steps(sequence).any(|step| is_decoder(Some(step)))
        }
        _ => false,
    }
}

fn steps(sequence: &Sequence) -> impl Iterator<Item = &DecoderWrapper> {
    sequence.get_decoders().iter()
}

/// The bytes of a token.
pub(super) fn decode(token: &str) -> Box<[u8]> {
    match byte_of(token) {
        Some(byte) => [byte].into(),
        None => token.replace(SPACE, " ").into_bytes().into(),
    }
}

fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2)
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_bytes_have_tokens_of_their_own() {
        assert_eq!(&*decode("\u{2581}Hello\u{2581}"), b" Hello ");
        assert_eq!(&*decode("<0x0A>"), b"\n");
        assert_eq!(&*decode("<0xE2>"), [0xe2]);
        assert_eq!(&*decode("<0xzz>"), b"<0xzz>");
    }
}
