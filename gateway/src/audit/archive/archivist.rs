//! Uploads the closed segments of one chain, for as long as both are there.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::s3::{Storage, StorageError};
use super::{Archived, NAME};
use crate::audit::line::Link;
use crate::audit::log::before_first;
use crate::audit::manifest::Manifest;
use crate::audit::progress::Progress;
use crate::audit::recovery::Scan;
use crate::audit::segment::Segment;
use crate::audit::sinks::{Backoff, Plan, SinkCounters, Standing};

/// How often it is looked whether a segment was closed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const MANIFEST: &str = "manifest.json";

/// Uploads segments.
pub(in crate::audit) struct Archivist {
    pub(in crate::audit) chain: PathBuf,
    pub(in crate::audit) storage: Storage,
    /// `None` for a chain that was left.
    pub(in crate::audit) own: Option<Own>,
    pub(in crate::audit) counters: SinkCounters,
    pub(in crate::audit) plan: watch::Receiver<Plan>,
    /// The first record of the newest segment of a chain that was left, once nothing is to be done about it.
    pub(in crate::audit) settled: Option<u64>,
}

/// Of the chain that this process writes.
pub(in crate::audit) struct Own {
    pub(in crate::audit) standing: Arc<Standing>,
    pub(in crate::audit) progress: Arc<Progress>,
}

/// What of a segment is archived.
struct End {
    /// Its last record.
    last: Link,
    /// Up to it.
    bytes: u64,
}

impl Archivist {
    /// Until everything is there that will ever be in a log that is closed, or until dropped.
    pub(in crate::audit) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let is_closing = self.plan.borrow_and_update().is_closing;
            let wait = match self.advance().await {
                Ok(()) => {
                    if let Some(own) = &self.own {
                        own.standing.succeed();
                    }
                    if is_closing {
                        return;
                    }
                    backoff.reset();
                    LOOK_EVERY
                }
                Err(error) => {
                    self.counters.failed(NAME);
                    if let Some(own) = &self.own {
                        own.standing.fail(error.to_string());
                    }
                    if is_closing && error.is_lasting() {
                        return;
                    }
                    backoff.next(None)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // A closing log waits for us.
                Ok(()) = self.plan.changed(), if !is_closing => {}
            }
        }
    }

    /// Upload every segment that nothing is added to any more. One that was uploaded and then gone on with is uploaded
    /// again, under the same name.
    async fn advance(&mut self) -> Result<(), StorageError> {
        let mut archived = Archived::read_or_begin(&self.chain, &self.storage.place())?;
        // Before the segments are listed: the newest of them may be closed, and never one that is begun meanwhile.
        let closed = self.own.as_ref().map(|own| own.progress.closed());
        let segments = Segment::list(&self.chain)?;
        self.reach(&archived, &segments);
        for (index, segment) in segments.iter().enumerate() {
            let end = match segments.get(index + 1) {
                Some(next) if next.first <= archived.last.sequence + 1 => continue,
                Some(next) => End::before(segment, next)?,
                None => match self.newest(segment, &archived, closed)? {
                    Some(end) => end,
                    None => break,
                },
            };
            self.upload(segment, &end, &mut archived).await?;
            self.reach(&archived, &segments);
        }
        Ok(())
    }

    async fn upload(
        &mut self,
        segment: &Segment,
        end: &End,
        archived: &mut Archived,
    ) -> Result<(), StorageError> {
        let before = match archived.before {
            Some(before) => before,
            None => before_first(segment)?.ok_or_else(|| unreadable(segment, segment))?,
        };
        let name = format!("{}/{}", archived.folder, segment.name());
        self.storage
            .put_file(&name, &segment.path, end.bytes)
            .await?;
        // After the segment, so that it never promises what is not there.
        let manifest = Manifest::new(before, end.last).to_json();
        let name = format!("{}/{MANIFEST}", archived.folder);
        self.storage.put_bytes(&name, &manifest).await?;
        let known = archived.last.sequence.max(before.sequence);
        let records = end.last.sequence.saturating_sub(known);
        archived.before = Some(before);
        archived.last = end.last;
        archived.write(&self.chain)?;
        self.counters
            .sent(NAME, usize::try_from(records).unwrap_or(usize::MAX));
        Ok(())
    }

    /// The end of the newest segment, where it is closed and not in the archive. `closed` is the last record of closed
    /// segments; it is not known of a chain that was left, where all of them are.
    fn newest(
        &mut self,
        segment: &Segment,
        archived: &Archived,
        closed: Option<u64>,
    ) -> Result<Option<End>, StorageError> {
        if let Some(closed) = closed {
            if closed < segment.first || closed <= archived.last.sequence {
                return Ok(None);
            }
            let end = End::of(segment)?.filter(|end| end.last.sequence == closed);
            return end.ok_or_else(|| unreadable(segment, segment)).map(Some);
        }
        if self.settled == Some(segment.first) {
            return Ok(None);
        }
        let end = End::of(segment)?.filter(|end| end.last.sequence > archived.last.sequence);
        if end.is_none() {
            self.settled = Some(segment.first);
        }
        Ok(end)
    }

    /// What is behind is what could be there: records of closed segments.
    fn reach(&self, archived: &Archived, segments: &[Segment]) {
        if let Some(own) = &self.own {
            let before_newest = segments.last().map_or(0, |newest| newest.first - 1);
            let closed = before_newest.max(own.progress.closed());
            own.standing
                .set_backlog(closed.saturating_sub(archived.last.sequence));
        }
    }
}

impl End {
    /// The last record is what the next segment begins after.
    fn before(segment: &Segment, next: &Segment) -> Result<Self, StorageError> {
        Ok(Self {
            last: before_first(next)?.ok_or_else(|| unreadable(segment, next))?,
            bytes: std::fs::metadata(&segment.path)?.len(),
        })
    }

    /// Without what a crash has left half-written; `None` where nothing is whole.
    fn of(segment: &Segment) -> io::Result<Option<Self>> {
        let Scan { last, end, .. } = Scan::of(segment)?;
        Ok(last.map(|last| Self { last, bytes: end }))
    }
}

fn unreadable(segment: &Segment, at: &Segment) -> StorageError {
    let told = format!(
        "{} cannot be archived: a record of {} is not what was written; run clawdbot audit verify",
        segment.name(),
        at.name()
    );
    io::Error::new(io::ErrorKind::InvalidData, told).into()
}
