//! Any credential that a client may send, and any key set that an issuer may publish.

use std::sync::LazyLock;

use super::*;
use crate::fuzz_corpus;

static ADA: LazyLock<Signer> = LazyLock::new(|| Signer::new(JwtAlgorithm::EdDSA, "one"));

/// What Ada has not signed admits nobody.
fn read(bytes: &[u8]) {
    if let Ok(keys) = KeySet::parse(bytes) {
        let verdict = keys.verify(JwtAlgorithm::ES256, None, b"message", b"signature");
        assert_ne!(verdict, Verdict::Good);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        fault(&config(&[&ADA]), text);
    }
}

#[test]
fn credentials() {
    bolero::check!(name = "credentials").for_each(read);
    fuzz_corpus::damage("auth/jwt/tests/__fuzz__/credentials", read);
}

#[test]
fn a_good_token_with_one_bit_changed_is_none() {
    let token = ADA.sign(&standard()).into_bytes();
    for at in 0..token.len() * 8 {
        let mut changed = token.clone();
        changed[at / 8] ^= 1 << (at % 8);
        read(&changed);
    }
}
