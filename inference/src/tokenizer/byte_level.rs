//! The letters that byte-level BPE writes for bytes: printable ones for themselves, the others from U+0100 on.

use std::sync::LazyLock;

/// The letter of every byte.
static CHARACTERS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let is_printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if is_printable { byte } else { next };
        next += usize::from(!is_printable);
        u32::try_from(code)
            .ok()
            .and_then(char::from_u32)
            .expect("a letter below U+0200")
    })
});

/// The letter that stands for a byte.
#[cfg(test)]
pub(super) fn character(byte: u8) -> char {
    CHARACTERS[usize::from(byte)]
}

/// The bytes of a token. Letters that stand for no byte are kept as UTF-8.
pub(super) fn decode(token: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(token.len());
    for letter in token.chars() {
        let byte = CHARACTERS.iter().position(|&character| character == letter);
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_letters_stand_for_their_bytes() {
        assert_eq!(&*decode("ĠHelloĊ"), b" Hello\n");
        assert_eq!(&*decode("Ã©"), "é".as_bytes());
        assert_eq!(&*decode("漢"), "漢".as_bytes());
    }

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        for byte in 0..=255 {
            assert_eq!(&*decode(&character(byte).to_string()), [byte]);
        }
    }
}
