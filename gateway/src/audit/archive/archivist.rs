//! Uploads the closed segments of one chain, for as long as both are there.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::s3::{Storage, StorageError};
use super::{Archived, NAME};
use crate::audit::line::Link;
use crate::audit::log::before_first;
use crate::audit::manifest::Manifest;
use crate::audit::segment::Segment;
use crate::audit::sinks::{Backoff, SinkCounters, Standing};

/// How often it is looked whether a segment was closed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const MANIFEST: &str = "manifest.json";

/// Uploads segments.
pub(in crate::audit) struct Archivist {
    pub(in crate::audit) chain: PathBuf,
    pub(in crate::audit) storage: Storage,
    /// `None` for a chain that was left.
    pub(in crate::audit) standing: Option<Arc<Standing>>,
    pub(in crate::audit) counters: SinkCounters,
}

impl Archivist {
    /// Until dropped.
    pub(in crate::audit) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let wait = match self.advance().await {
                Ok(()) => {
                    if let Some(standing) = &self.standing {
                        standing.succeed();
                    }
                    backoff.reset();
                    LOOK_EVERY
                }
                Err(error) => {
                    self.counters.failed(NAME);
                    if let Some(standing) = &self.standing {
                        standing.fail(error.to_string());
                    }
                    backoff.next(None)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Upload every segment that has a successor. The newest may still grow, also in a chain that was left.
    async fn advance(&mut self) -> Result<(), StorageError> {
        let mut archived = Archived::read_or_begin(&self.chain)?;
        let segments = Segment::list(&self.chain)?;
        self.reach(&archived, &segments);
        for pair in segments.windows(2) {
            let [segment, next] = pair else { break };
            if segment.first <= archived.last.sequence {
                continue;
            }
            let last = end_of(segment, next)?;
            let before = match archived.before {
                Some(before) => before,
                None => before_first(segment)?.ok_or_else(|| unreadable(segment, segment))?,
            };
            let name = format!("{}/{}", archived.folder, segment.name());
            self.storage.put_file(&name, &segment.path).await?;
            // After the segment, so that it never promises what is not there.
            let manifest = Manifest::new(before, last).to_json();
            let name = format!("{}/{MANIFEST}", archived.folder);
            self.storage.put_bytes(&name, &manifest).await?;
            let records = last
                .sequence
                .saturating_sub(archived.last.sequence.max(before.sequence));
            archived.before = Some(before);
            archived.last = last;
            archived.write(&self.chain)?;
            self.counters
                .sent(NAME, usize::try_from(records).unwrap_or(usize::MAX));
            self.reach(&archived, &segments);
        }
        Ok(())
    }

    /// What is behind is what could be there: records of closed segments.
    fn reach(&self, archived: &Archived, segments: &[Segment]) {
        if let Some(standing) = &self.standing {
            let closed = segments.last().map_or(0, |newest| newest.first - 1);
            standing.set_backlog(closed.saturating_sub(archived.last.sequence));
        }
    }
}

/// Its last record is what the next segment begins after.
fn end_of(segment: &Segment, next: &Segment) -> Result<Link, StorageError> {
    before_first(next)?.ok_or_else(|| unreadable(segment, next))
}

fn unreadable(segment: &Segment, at: &Segment) -> StorageError {
    let told = format!(
        "{} cannot be archived: the first record of {} is not what was written; run clawdbot audit verify",
        segment.name(),
        at.name()
    );
    io::Error::new(io::ErrorKind::InvalidData, told).into()
}
