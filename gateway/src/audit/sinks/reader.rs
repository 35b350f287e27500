//! Batches of records from the segments of a chain. Blocking file I/O.

use std::io;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use super::cursor::Place;
use crate::audit::segment::Segment;

/// Records that are sent at a time.
const BATCH_RECORDS: usize = 500;
/// And their bytes, unless a single record has more.
const BATCH_BYTES: usize = 1 << 20;

/// Where a reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The last record that was read.
    pub(super) sequence: u64,
    /// Where the next one begins, where it is known.
    pub(super) place: Option<Place>,
}

/// A record, as far as those who send it look into it.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: jiff::Timestamp,
    #[serde(rename = "event.sequence")]
    pub(super) sequence: u64,
    #[serde(rename = "event.action")]
    pub(super) action: String,
    #[serde(rename = "event.outcome")]
    pub(super) outcome: String,
    #[serde(rename = "trace.id")]
    pub(super) trace: Option<String>,
}

/// Records to be sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Their lines, with newlines, as they are in the log.
    pub(super) lines: Vec<u8>,
    records: Vec<(Range<usize>, Head)>,
    /// Where the reader is after them.
    pub(super) end: Position,
    /// Records that were no longer there.
    pub(super) missing: u64,
    /// Lines that are no records.
    pub(super) unreadable: u64,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Each with its line, without the newline.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Head, &[u8])> {
        self.records
            .iter()
            .map(|(range, head)| (head, &self.lines[range.clone()]))
    }

    fn push(&mut self, line: &[u8], head: Head) {
        let start = self.lines.len();
        self.lines.extend(line);
        self.lines.push(b'\n');
        self.records.push((start..start + line.len(), head));
    }
}

/// What comes after `from`, up to the record `last`, and at most `most` records of it.
pub(super) fn read(chain: &Path, from: Position, last: u64, most: usize) -> io::Result<Batch> {
    let mut batch = Batch {
        end: from,
        ..Batch::default()
    };
    if from.sequence >= last {
        return Ok(batch);
    }
    let segments = Segment::list(chain)?;
    let next = from.sequence + 1;
    let at = segments.partition_point(|segment| segment.first <= next);
    for segment in &segments[at.saturating_sub(1)..] {
        let place = batch.end.place;
        let mut offset = place
            .filter(|place| place.segment == segment.first)
            .map_or(0, |place| place.offset);
        for line in segment.lines(offset)? {
            let line = line?;
            let Some(whole) = line.strip_suffix(b"\n") else {
                break;
            };
            let head = serde_json::from_slice::<Head>(whole);
            if head.as_ref().is_ok_and(|head| head.sequence > last) {
                return Ok(batch);
            }
            offset += line.len() as u64;
            let place = Some(Place {
                segment: segment.first,
                offset,
            });
            match head {
                Ok(head) if head.sequence > batch.end.sequence => {
                    batch.missing += head.sequence - batch.end.sequence - 1;
                    batch.end = Position {
                        sequence: head.sequence,
                        place,
                    };
                    batch.push(whole, head);
                }
                // Before the place that was known by number only.
                Ok(_) => batch.end.place = place,
                Err(_) => {
                    batch.end.place = place;
                    batch.unreadable += 1;
                }
            }
            let is_full =
                batch.len() >= most.min(BATCH_RECORDS) || batch.lines.len() >= BATCH_BYTES;
            if is_full || batch.end.sequence >= last {
                return Ok(batch);
            }
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(segments: &[Range<u64>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let day = "2026-02-03".parse().expect("a day");
        for numbers in segments {
            let lines: String = numbers.clone().map(line).collect();
            let segment = Segment::new(folder.path(), numbers.start, day);
            std::fs::write(segment.path, lines).expect("written");
        }
        folder
    }

    fn line(sequence: u64) -> String {
        format!(
            "{{\"@timestamp\":\"2026-02-03T04:05:06Z\",\"event.sequence\":{sequence},\"event.action\":\"request\",\
             \"event.outcome\":\"success\"}}\n"
        )
    }

    fn numbers(batch: &Batch) -> Vec<u64> {
        batch.records().map(|(head, _)| head.sequence).collect()
    }

    #[test]
    fn batches_go_on_across_segments_and_end_with_what_is_acknowledged() {
        let chain = chain(&[1..4, 4..7]);
        let first = read(chain.path(), Position::default(), 5, 2).expect("read");
        assert_eq!(numbers(&first), [1, 2]);
        let second = read(chain.path(), first.end, 5, 100).expect("read");
        assert_eq!(numbers(&second), [3, 4, 5]);
        assert!(
            read(chain.path(), second.end, 5, 100)
                .expect("read")
                .is_empty()
        );
        let third = read(chain.path(), second.end, 6, 100).expect("read");
        assert_eq!(third.lines, line(6).into_bytes());
    }

    #[test]
    fn a_position_without_a_place_is_searched_for() {
        let chain = chain(&[1..4, 4..7]);
        let from = Position {
            sequence: 4,
            place: None,
        };
        let batch = read(chain.path(), from, 6, 100).expect("read");
        assert_eq!((numbers(&batch), batch.missing), (vec![5, 6], 0));
    }

    #[test]
    fn what_was_pruned_is_counted_and_half_a_line_waits() {
        let chain = chain(std::slice::from_ref(&(4..7)));
        let day = "2026-02-04".parse().expect("a day");
        let newest = Segment::new(chain.path(), 7, day);
        std::fs::write(&newest.path, line(7) + "rubbish\n" + &line(8)[..20]).expect("written");
        let batch = read(chain.path(), Position::default(), u64::MAX, 100).expect("read");
        assert_eq!(numbers(&batch), [4, 5, 6, 7]);
        assert_eq!((batch.missing, batch.unreadable), (3, 1));
        let empty = read(chain.path(), batch.end, u64::MAX, 100).expect("read");
        assert!(empty.is_empty() && empty.unreadable == 0);
    }
}
