//! Lower-case hexadecimal, as digests are written.

use std::fmt::Write as _;

/// Bytes as digits.
pub fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The 32 bytes of a SHA-256, if these are its digits.
pub fn decode_sha256(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_the_round_trip() {
        let digits = "00ff".repeat(16);
        assert_eq!(encode(&decode_sha256(&digits).expect("64 digits")), digits);
        assert!(decode_sha256("00ff").is_none() && decode_sha256(&"0g".repeat(32)).is_none());
    }
}
