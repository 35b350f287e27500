//! How far the archive of a chain is, on disk beside the chain.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::line::Link;

const NAME: &str = "archive.json";
const VERSION: u32 = 1;

/// What is in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::audit) struct Archived {
    version: u32,
    /// The archive that this is about; what an earlier version has written does not say it.
    #[serde(default)]
    place: Option<String>,
    /// The chain's folder in the archive: chains of other gateways, replicas and volumes have other ones.
    pub(in crate::audit) folder: String,
    /// The record before the first that is there, once one is.
    pub(in crate::audit) before: Option<Link>,
    /// The last record that is there.
    pub(in crate::audit) last: Link,
}

impl Archived {
    fn new(place: &str) -> Self {
        Self {
            version: VERSION,
            place: Some(place.to_owned()),
            folder: format!("chain-{}", uuid::Uuid::new_v4().simple()),
            before: None,
            last: Link::default(),
        }
    }

    fn path(chain: &Path) -> PathBuf {
        chain.join(NAME)
    }

    /// Of a chain; nothing, where nothing was archived. One that says nothing readable is an error of the kind
    /// `InvalidData`.
    pub(in crate::audit) fn read(chain: &Path) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(Self::path(chain)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let archived: Self = serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if archived.version != VERSION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(archived))
    }

    /// The same of the archive at `place`, with a folder in any case. Where it cannot be known what is there, or all of
    /// it is in another archive, everything goes into a new one.
    pub(in crate::audit) fn read_or_begin(chain: &Path, place: &str) -> io::Result<Self> {
        let found = match Self::read(chain) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(
                    chain = %chain.display(),
                    "archive.json was altered; everything that is kept is archived again, in a new folder"
                );
                None
            }
            found => found?,
        };
        if let Some(archived) = found {
            match &archived.place {
                Some(other) if other != place => tracing::warn!(
                    chain = %chain.display(),
                    before = other,
                    now = place,
                    "the archive is another one; everything that is kept is archived there, too"
                ),
                Some(_) => return Ok(archived),
                None => {
                    return Ok(Self {
                        place: Some(place.to_owned()),
                        ..archived
                    });
                }
            }
        }
        let archived = Self::new(place);
        archived.write(chain)?;
        Ok(archived)
    }

    /// Replace it, whole or not at all, and on disk when this returns.
    pub(in crate::audit) fn write(&self, chain: &Path) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".archive-")
            .tempfile_in(chain)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_data()?;
        file.persist(Self::path(chain))
            .map_err(|error| error.error)?;
        // The folder's name must not change once something lies in it.
        std::fs::File::open(chain)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "https://s3.test/audit/";

    #[test]
    fn the_folder_is_kept_and_rubbish_begins_another() {
        let chain = tempfile::tempdir().expect("a folder");
        let begun = Archived::read_or_begin(chain.path(), PLACE).expect("begun");
        let again = Archived::read_or_begin(chain.path(), PLACE).expect("read");
        assert_eq!(begun, again);
        std::fs::write(Archived::path(chain.path()), "{}").expect("written");
        let other = Archived::read_or_begin(chain.path(), PLACE).expect("begun");
        assert_ne!(other.folder, begun.folder);
    }

    #[test]
    fn in_another_archive_there_is_nothing_yet() {
        let chain = tempfile::tempdir().expect("a folder");
        let mut begun = Archived::read_or_begin(chain.path(), PLACE).expect("begun");
        begun.last.sequence = 7;
        begun.write(chain.path()).expect("written");
        let other = Archived::read_or_begin(chain.path(), "https://s3.test/new/").expect("begun");
        assert_eq!((other.last.sequence, other.before), (0, None));
        assert_ne!(other.folder, begun.folder);
    }

    #[test]
    fn what_an_earlier_version_has_written_is_about_the_archive_in_use() {
        let chain = tempfile::tempdir().expect("a folder");
        let mut earlier = Archived::new(PLACE);
        earlier.place = None;
        earlier.write(chain.path()).expect("written");
        let found = Archived::read_or_begin(chain.path(), PLACE).expect("read");
        assert_eq!(found.folder, earlier.folder);
    }
}
