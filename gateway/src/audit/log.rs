//! A chain on disk: whole batches are appended and synced, or not at all. Blocking; for one thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::archive::Archived;
use super::chains::{self, Chain};
use super::event::{Event, Record};
use super::line::{Link, Sealed};
use super::manifest::Manifest;
use super::recovery::{Recovered, recover};
use super::render;
use super::segment::Segment;
use super::sinks::Cursor;

/// A segment that is larger is closed: small enough to be handled and sent away, large enough to be few.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;

/// The log of one process.
#[derive(Debug)]
pub(super) struct Log {
    chain: Chain,
    segment_bytes: u64,
    manifest: Manifest,
    /// The last record that is rendered.
    last: Link,
    /// The last record that is on disk.
    committed: Link,
    batch: Vec<u8>,
    /// The day of the first record of the batch.
    batch_day: Option<Date>,
    open: Option<OpenSegment>,
}

#[derive(Debug)]
struct OpenSegment {
    segment: Segment,
    file: File,
    /// Up to the last record that is on disk.
    length: u64,
    /// Whether there may be something after it.
    is_dirty: bool,
}

impl Log {
    /// Take a chain of the log, and go on where it ends. What was found out about its end is in the first batch.
    pub(super) fn open(directory: &Path, segment_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let chain = chains::take(directory)?;
        let Recovered {
            before,
            last,
            segment,
            events,
        } = recover(&chain.directory)?;
        let manifest = Manifest::new(before, last);
        manifest.write(&chain.directory)?;
        sync_directory(&chain.directory)?;
        // What is in the archive is not gone on with, where that can be known.
        let is_archived = archived(&chain.directory)? >= last.sequence;
        let open = segment
            .filter(|_| !is_archived)
            .map(|(segment, length)| OpenSegment::open(segment, length))
            .transpose()?;
        let mut log = Self {
            chain,
            segment_bytes,
            manifest,
            last,
            committed: last,
            batch: Vec::new(),
            batch_day: None,
            open,
        };
        for event in events {
            let at = Timestamp::now();
            log.append(&Record { at, event });
        }
        Ok(log)
    }

    /// Add a record to the batch.
    pub(super) fn append(&mut self, record: &Record) {
        self.batch_day.get_or_insert_with(|| day_of(record.at));
        self.last = render::append(&mut self.batch, record, self.last);
    }

    /// Bytes that wait for [`commit`](Self::commit).
    pub(super) fn waiting(&self) -> usize {
        self.batch.len()
    }

    /// The last record that is on disk.
    pub(super) fn committed(&self) -> Link {
        self.committed
    }

    /// The day of the segment that is written.
    pub(super) fn day(&self) -> Option<Date> {
        self.open.as_ref().map(|open| open.segment.day)
    }

    /// The last record of segments that nothing is added to any more.
    pub(super) fn closed(&self) -> u64 {
        let open = self.open.as_ref();
        open.map_or(self.committed.sequence, |open| open.segment.first - 1)
    }

    /// Go on in another segment.
    pub(super) fn close(&mut self) {
        // The name of an empty one is that of the next.
        self.open.take_if(|open| open.length > 0);
    }

    /// The same, where the segment is full or its day is over.
    pub(super) fn close_over(&mut self, today: Date) {
        let segment_bytes = self.segment_bytes;
        self.open
            .take_if(|open| open.length > 0 && open.is_over(today, segment_bytes));
    }

    /// Write and sync the batch. After an error nothing of it counts as written, and the next call tries again.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        let Some(day) = self.batch_day else {
            return Ok(());
        };
        let segment_bytes = self.segment_bytes;
        let is_over = |open: &OpenSegment| open.is_over(day, segment_bytes);
        if self.open.as_ref().is_none_or(is_over) {
            let segment = Segment::new(&self.chain.directory, self.committed.sequence + 1, day);
            self.open = Some(OpenSegment::open(segment, 0)?);
            sync_directory(&self.chain.directory)?;
        }
        if let Some(open) = &mut self.open {
            open.write(&self.batch)?;
        }
        self.committed = self.last;
        self.batch.clear();
        // A burst, or a long wait for the disk, must not hold memory for good.
        self.batch.shrink_to(1 << 20);
        self.batch_day = None;
        Ok(())
    }

    /// The folder that is written.
    pub(super) fn directory(&self) -> &Path {
        &self.chain.directory
    }

    /// Whether the manifest is behind.
    pub(super) fn is_ahead(&self) -> bool {
        self.manifest.last != self.committed
    }

    /// Say how far the log goes.
    pub(super) fn write_manifest(&mut self) -> io::Result<()> {
        let manifest = Manifest::new(self.manifest.before, self.committed);
        manifest.write(&self.chain.directory)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Delete segments that were begun more than `days` before `today`. That it was done is recorded before, and which of
    /// sinks have not had everything. What is to be archived stays until it is.
    pub(super) fn prune(&mut self, today: Date, retention: &Keep<'_>) -> io::Result<()> {
        let Keep {
            days,
            sinks,
            is_archived,
        } = *retention;
        let archived = if is_archived {
            archived(&self.chain.directory)?
        } else {
            u64::MAX
        };
        let Ok(oldest) = today.checked_sub(i64::from(days).days()) else {
            return Ok(());
        };
        let segments = Segment::list(&self.chain.directory)?;
        let mut expired = Vec::new();
        let mut before = self.manifest.before;
        for pair in segments.windows(2) {
            let [segment, next] = pair else { break };
            // What cannot be read is evidence, and stays.
            if segment.day >= oldest || !is_closed(segment, self.open.as_ref()) {
                break;
            }
            let Some(link) = before_first(next)? else {
                break;
            };
            if link.sequence > archived {
                break;
            }
            before = link;
            expired.push(segment);
        }
        if expired.is_empty() {
            return Ok(());
        }
        if before != self.manifest.before {
            let at = Timestamp::now();
            for event in self.undelivered(before.sequence, sinks)? {
                self.append(&Record { at, event });
            }
            let event = Event::Pruned {
                through: before.sequence,
                hash: before.hash.to_string(),
            };
            self.append(&Record { at, event });
            self.commit()?;
            let manifest = Manifest::new(before, self.committed);
            manifest.write(&self.chain.directory)?;
            self.manifest = manifest;
        }
        for segment in expired {
            std::fs::remove_file(&segment.path)?;
        }
        Ok(())
    }
}

/// What is kept for how long, and for whom.
pub(super) struct Keep<'a> {
    pub(super) days: u32,
    /// Names.
    pub(super) sinks: &'a [String],
    /// Whether nothing goes that is not in the archive.
    pub(super) is_archived: bool,
}

/// The last record that is in the archive.
fn archived(chain: &Path) -> io::Result<u64> {
    match Archived::read(chain) {
        Ok(archived) => Ok(archived.map_or(0, |archived| archived.last.sequence)),
        // It is archived anew.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(0),
        Err(error) => Err(error),
    }
}

impl Log {
    /// What sinks will never get when records go up to this one.
    fn undelivered(&self, through: u64, sinks: &[String]) -> io::Result<Vec<Event>> {
        let gone = self.manifest.before.sequence;
        let mut events = Vec::new();
        for sink in sinks {
            let cursor = match Cursor::read(&self.chain.directory, sink) {
                Ok(cursor) => cursor.unwrap_or_default(),
                // It begins anew, with what is left.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Cursor::default(),
                Err(error) => return Err(error),
            };
            let delivered = cursor.delivered.max(gone);
            if delivered < through {
                events.push(Event::Undelivered {
                    sink: sink.clone(),
                    first: delivered + 1,
                    last: through,
                });
            }
        }
        Ok(events)
    }
}

/// Whether nothing is written to it any more.
fn is_closed(segment: &Segment, open: Option<&OpenSegment>) -> bool {
    open.is_none_or(|open| open.segment != *segment)
}

/// What the first record of a segment follows.
pub(super) fn before_first(segment: &Segment) -> io::Result<Option<Link>> {
    let Some(line) = segment.lines(0)?.next().transpose()? else {
        return Ok(None);
    };
    let sealed = line
        .strip_suffix(b"\n")
        .and_then(|line| Sealed::read(line).ok());
    Ok(sealed.and_then(|sealed| {
        Some(Link {
            sequence: sealed.link.sequence.checked_sub(1)?,
            hash: sealed.previous,
        })
    }))
}

/// The day in UTC.
pub(super) fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// New and removed names are on disk only then.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl OpenSegment {
    fn open(segment: Segment, length: u64) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&segment.path)?;
        Ok(Self {
            segment,
            file,
            length,
            is_dirty: true,
        })
    }

    fn is_over(&self, today: Date, segment_bytes: u64) -> bool {
        self.segment.day != today || (self.length > 0 && self.length >= segment_bytes)
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.is_dirty {
            self.file.set_len(self.length)?;
        }
        self.is_dirty = true;
        self.file.write_all_at(batch, self.length)?;
        self.file.sync_data()?;
        self.length += batch.len() as u64;
        self.is_dirty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
