//! Segments: files of a chain that follow each other, named by their first record and its day.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// A file of records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The number of its first record.
    pub first: u64,
    /// The day, in UTC, on which it was begun; the next day begins another.
    pub day: Date,
    /// Where it is.
    pub path: PathBuf,
}

impl Segment {
    /// A segment that is to begin with this record.
    pub(super) fn new(directory: &Path, first: u64, day: Date) -> Self {
        Self {
            first,
            day,
            path: directory.join(format!("{first:020}-{day}.jsonl")),
        }
    }

    fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
        let (first, day) = name.split_once('-')?;
        Some(Self {
            first: first.parse().ok()?,
            day: day.parse().ok()?,
            path,
        })
    }

    /// The segments of a chain, oldest first.
    pub fn list(directory: &Path) -> io::Result<Vec<Self>> {
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            segments.extend(Self::parse(entry?.path()));
        }
        segments.sort();
        Ok(segments)
    }

    /// The name of the file.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Its lines from `offset` on, with their newlines; the last one may lack it.
    pub fn lines(&self, offset: u64) -> io::Result<Lines> {
        use std::io::Seek as _;
        let mut file = File::open(&self.path)?;
        file.seek(io::SeekFrom::Start(offset))?;
        Ok(Lines(BufReader::with_capacity(1 << 16, file)))
    }
}

/// The lines of a segment.
pub struct Lines(BufReader<File>);

impl Iterator for Lines {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_listed_in_order_and_other_files_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let day = "2026-02-03".parse().expect("a day");
        let made = [1, 9, 10].map(|first| Segment::new(folder.path(), first, day));
        for segment in made.iter().rev() {
            std::fs::write(&segment.path, "").expect("written");
        }
        std::fs::write(folder.path().join("manifest.json"), "").expect("written");
        std::fs::write(folder.path().join("x-2026-02-03.jsonl"), "").expect("written");
        assert_eq!(Segment::list(folder.path()).expect("listed"), made);
    }
}
