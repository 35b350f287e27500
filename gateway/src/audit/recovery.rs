//! What a chain looks like when its writer begins: where it goes on, and what a crash has left.
//!
//! Only what nobody was told to be on disk is cut. Whatever contradicts the manifest stays as it is, for people to look
//! at, and the chain goes on after the record that the manifest names, so that `verify` finds the hole for good.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::event::Event;
use super::line::{Digest, Link, Sealed};
use super::manifest::{Manifest, ManifestError};
use super::segment::Segment;

/// Where a chain goes on.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The record before the oldest that is kept.
    pub(super) before: Link,
    /// The record that the next one follows.
    pub(super) last: Link,
    /// The segment that may be continued, with its length.
    pub(super) segment: Option<(Segment, u64)>,
    /// What has to be told.
    pub(super) events: Vec<Event>,
}

/// Look, and mend what may be mended.
pub(super) fn recover(directory: &Path) -> io::Result<Recovered> {
    let mut segments = Segment::list(directory)?;
    let mut events = Vec::new();
    let manifest = match Manifest::read(directory) {
        Ok(manifest) => Some(manifest),
        Err(ManifestError::Io(error)) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(ManifestError::Io(_)) if segments.is_empty() => None,
        Err(_) => {
            events.push(Event::ManifestMissing);
            None
        }
    };
    let (before, promised) = manifest.map_or_else(Default::default, |manifest| {
        (manifest.before, manifest.last)
    });
    let mut found = before;
    let mut segment = None;
    while let Some(newest) = segments.pop() {
        let scan = Scan::of(&newest)?;
        match scan.last {
            Some(link) if link.sequence >= promised.sequence => {
                events.extend(scan.cut(&newest)?);
                found = link;
                segment = Some((newest, scan.end));
                break;
            }
            Some(link) => {
                found = link;
                break;
            }
            // Begun, but with nothing in it that anybody was told of.
            None if newest.first > promised.sequence => {
                events.extend(scan.cut(&newest)?);
                std::fs::remove_file(&newest.path)?;
            }
            None => break,
        }
    }
    if found.sequence < promised.sequence {
        events.push(Event::TailMissing {
            found: found.sequence,
            expected: promised.sequence,
        });
        found = promised;
    }
    Ok(Recovered {
        before,
        last: found,
        segment,
        events,
    })
}

/// What a segment ends with.
pub(super) struct Scan {
    /// The last record that is whole.
    pub(super) last: Option<Link>,
    /// Where it ends.
    pub(super) end: u64,
    /// What comes after it.
    rest: Vec<u8>,
}

impl Scan {
    pub(super) fn of(segment: &Segment) -> io::Result<Self> {
        let mut scan = Self {
            last: None,
            end: 0,
            rest: Vec::new(),
        };
        let mut at = 0;
        for line in segment.lines(0)? {
            let line = line?;
            at += line.len() as u64;
            let sealed = line.strip_suffix(b"\n").map(Sealed::read);
            if let Some(Ok(sealed)) = sealed {
                scan.last = Some(sealed.link);
                scan.end = at;
                scan.rest.clear();
            } else {
                scan.rest.extend(line);
            }
        }
        Ok(scan)
    }

    fn cut(&self, segment: &Segment) -> io::Result<Option<Event>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let file = File::options().write(true).open(&segment.path)?;
        file.set_len(self.end)?;
        file.sync_all()?;
        Ok(Some(Event::Repaired {
            bytes: self.rest.len() as u64,
            sha256: Digest::of(&self.rest).to_string(),
        }))
    }
}
