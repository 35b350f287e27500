//! How far a sink is, on disk beside the chain it reads.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// What a receiver has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::audit) struct Cursor {
    /// The last record that it has; 0 before the first.
    pub(in crate::audit) delivered: u64,
    /// Where the next one begins, which spares a search. Held against the segments when it is used.
    pub(in crate::audit) place: Option<Place>,
    /// Whether it has ever had everything. Only from then on does anybody wait for it.
    pub(in crate::audit) has_caught_up: bool,
}

/// A place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::audit) struct Place {
    /// The number of the segment's first record.
    pub(in crate::audit) segment: u64,
    /// Bytes.
    pub(in crate::audit) offset: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    delivered: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    caught_up: bool,
}

impl Cursor {
    fn path(chain: &Path, sink: &str) -> PathBuf {
        chain.join(format!("sink-{sink}.json"))
    }

    /// Of a sink; `None` before it was ever sent anything. One that says nothing readable is an error of the kind
    /// `InvalidData`.
    pub(in crate::audit) fn read(chain: &Path, sink: &str) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(Self::path(chain, sink)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored: Stored = serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if stored.version != VERSION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(Self {
            delivered: stored.delivered,
            place: stored.place,
            has_caught_up: stored.caught_up,
        }))
    }

    /// Replace it, whole or not at all, and on disk when this returns.
    pub(in crate::audit) fn write(&self, chain: &Path, sink: &str) -> io::Result<()> {
        let stored = Stored {
            version: VERSION,
            delivered: self.delivered,
            place: self.place,
            caught_up: self.has_caught_up,
        };
        let mut file = tempfile::Builder::new()
            .prefix(".sink-")
            .tempfile_in(chain)?;
        serde_json::to_writer(&mut file, &stored)?;
        file.write_all(b"\n")?;
        file.as_file().sync_data()?;
        // The name needs no sync: the cursor before it repeats records, and loses none.
        file.persist(Self::path(chain, sink))
            .map(drop)
            .map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_rubbish_is_told_apart_from_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Cursor::read(folder.path(), "siem").expect("none"), None);
        let cursor = Cursor {
            delivered: 41,
            place: Some(Place {
                segment: 7,
                offset: 4096,
            }),
            has_caught_up: true,
        };
        cursor.write(folder.path(), "siem").expect("written");
        let read = Cursor::read(folder.path(), "siem").expect("readable");
        assert_eq!(read, Some(cursor));
        std::fs::write(folder.path().join("sink-siem.json"), "{}").expect("written");
        let error = Cursor::read(folder.path(), "siem").expect_err("rubbish");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
