//! A reader that knows how much of the file is left, so that no length of the file is believed unchecked.

use std::io::Read;

use super::GgufError;

/// Reads little-endian values from the start of a file to its end.
pub(super) struct Cursor<R> {
    source: R,
    position: u64,
    length: u64,
}

impl<R: Read> Cursor<R> {
    pub(super) fn new(source: R, length: u64) -> Self {
        Self {
            source,
            position: 0,
            length,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Fails unless `count` things of at least `size` bytes each still fit into the file.
    pub(super) fn expect_room(&self, count: u64, size: u64, what: &str) -> Result<(), GgufError> {
        let needed = count.saturating_mul(size);
        let available = self.length - self.position;
        if needed <= available {
            return Ok(());
        }
        Err(GgufError::Truncated {
            what: what.to_owned(),
            offset: self.position,
            needed,
            available,
        })
    }

    pub(super) fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        self.expect_room(1, N as u64, what)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self, what: &str) -> Result<String, GgufError> {
        let offset = self.position;
        let length = self.u64(what)?;
        self.expect_room(length, 1, what)?;
        let mut bytes = vec![
            0;
            usize::try_from(length)
                .map_err(|_| self.corrupt(what, "is longer than memory"))?
        ];
        self.source.read_exact(&mut bytes)?;
        self.position += length;
        String::from_utf8(bytes).map_err(|_| GgufError::Corrupt {
            what: what.to_owned(),
            offset,
            problem: "is not valid UTF-8".to_owned(),
        })
    }

    pub(super) fn corrupt(&self, what: &str, problem: impl Into<String>) -> GgufError {
        GgufError::Corrupt {
            what: what.to_owned(),
            offset: self.position,
            problem: problem.into(),
        }
    }
}
