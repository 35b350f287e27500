//! SHA-256 of bytes, files and what is being written, in hexadecimal.

use std::{
    fmt::Write as _,
    io::{self, Read},
};

use sha2::{Digest, Sha256};

const CHUNK: usize = 1 << 18;

/// Hashes what comes piece by piece.
#[derive(Debug)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0.finalize() {
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        text
    }
}

/// The SHA-256 of bytes in memory.
#[cfg(test)]
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// The SHA-256 of everything that `source` gives; `progress` learns the bytes read so far.
pub(crate) fn sha256_of(
    mut source: impl Read,
    mut progress: impl FnMut(u64),
) -> io::Result<String> {
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&chunk[..read]);
        total += read as u64;
        progress(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
        let mut seen = 0;
        assert_eq!(
            sha256_of(&b"abc"[..], |bytes| seen = bytes).expect("readable"),
            expected
        );
        assert_eq!(seen, 3);
    }
}
