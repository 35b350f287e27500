//! Whether a log is what was written: every byte, every record, in order, from the first that is kept to the last that
//! the manifest names.

use std::io;
use std::path::{Path, PathBuf};

use super::chains::{self, chain_directories};
use super::line::{self, Link, LinkError, Sealed};
use super::manifest::{Manifest, ManifestError};
use super::segment::Segment;

/// Something that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it is about one.
    pub line: Option<u64>,
    /// The number of the record that should stand there.
    pub sequence: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What was found out about a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// Its folder.
    pub directory: PathBuf,
    /// Files read.
    pub segments: usize,
    /// Records that are whole and in order.
    pub records: u64,
    /// The last record.
    pub last: u64,
    /// Half a line at the end, which a crash has left and nobody was told to be on disk.
    pub torn_bytes: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, " line {line}")?;
        }
        if let Some(sequence) = self.sequence {
            write!(formatter, ", record {sequence}")?;
        }
        write!(formatter, ": {}", self.what)
    }
}

/// Check every chain of a log.
pub fn verify(log: &Path) -> io::Result<Vec<ChainReport>> {
    chain_directories(log)?
        .iter()
        .map(|chain| verify_chain(chain, Extent::Whole))
        .collect()
}

/// Check some segments of each chain, as far as they go: where they should begin and end is not known.
pub fn verify_part(log: &Path) -> io::Result<Vec<ChainReport>> {
    chain_directories(log)?
        .iter()
        .map(|chain| verify_chain(chain, Extent::Part))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// As the manifest says.
    Whole,
    /// Whatever is there.
    Part,
}

fn verify_chain(directory: &Path, extent: Extent) -> io::Result<ChainReport> {
    let mut report = ChainReport {
        directory: directory.to_owned(),
        ..ChainReport::default()
    };
    // First, since a writer puts records on disk before it names them.
    let manifest = match Manifest::read(directory) {
        _ if extent == Extent::Part => None,
        Ok(manifest) => Some(manifest),
        Err(error) => {
            report.faults.push(Fault {
                file: Manifest::path(directory),
                line: None,
                sequence: None,
                what: match &error {
                    ManifestError::Io(source) => format!("{error}: {source}"),
                    ManifestError::Altered => error.to_string(),
                },
            });
            None
        }
    };
    let segments = Segment::list(directory)?;
    let before = manifest.map(|manifest| manifest.before);
    let mut walk = Walk {
        at: before,
        promised: manifest.map(|manifest| manifest.last),
        is_written: chains::is_written(directory),
        report: &mut report,
    };
    for (index, segment) in segments.iter().enumerate() {
        let next = segments.get(index + 1);
        // Pruned in name, and deleted a moment later.
        let is_pruned = next
            .zip(before)
            .is_some_and(|(next, before)| next.first <= before.sequence + 1 && before.sequence > 0);
        if !is_pruned {
            walk.segment(segment, next.is_none())?;
        }
    }
    walk.end(directory);
    Ok(report)
}

/// On the way through a chain.
struct Walk<'a> {
    /// The record that the next one has to follow, once one is known.
    at: Option<Link>,
    promised: Option<Link>,
    is_written: bool,
    report: &'a mut ChainReport,
}

impl Walk<'_> {
    fn segment(&mut self, segment: &Segment, is_newest: bool) -> io::Result<()> {
        self.report.segments += 1;
        let mut lines = segment.lines(0)?.enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let line = line?;
            let expected = self.at.map_or(segment.first, |at| at.sequence + 1);
            let is_end = is_newest && lines.peek().is_none();
            match self.line(&line) {
                Ok(()) => self.report.records += 1,
                Err(_) if is_end && self.may_be_torn(expected) => {
                    self.report.torn_bytes = line.len() as u64;
                }
                Err(error) => {
                    self.report.faults.push(Fault {
                        file: segment.path.clone(),
                        line: Some(index as u64 + 1),
                        sequence: Some(expected),
                        what: error.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Nobody was told that the record is on disk.
    fn may_be_torn(&self, expected: u64) -> bool {
        self.is_written
            || self
                .promised
                .is_some_and(|promised| expected > promised.sequence)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LinkError> {
        let sealed = line
            .strip_suffix(b"\n")
            .map_or(Err(LinkError::NotARecord), Sealed::read);
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => {
                // What it claims to be is not to be believed, but the next one can be counted from it.
                self.at = self.at.map(|at| Link {
                    sequence: at.sequence + 1,
                    hash: line::claimed_hash(line).unwrap_or(at.hash),
                });
                return Err(error);
            }
        };
        let followed = self.at.map_or(Ok(()), |at| sealed.follows(at));
        self.at = Some(sealed.link);
        self.report.last = sealed.link.sequence;
        followed?;
        match self.promised {
            Some(promised)
                if promised.sequence == sealed.link.sequence && promised != sealed.link =>
            {
                Err(LinkError::Foreign)
            }
            _ => Ok(()),
        }
    }

    fn end(self, directory: &Path) {
        let reached = self.at.map_or(0, |at| at.sequence);
        if let Some(promised) = self.promised
            && reached < promised.sequence
        {
            self.report.faults.push(Fault {
                file: Manifest::path(directory),
                line: None,
                sequence: Some(reached + 1),
                what: format!(
                    "the log ends after record {reached}, but went up to {}: its end was cut off",
                    promised.sequence
                ),
            });
        }
    }
}
