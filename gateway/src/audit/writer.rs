//! The one thread that renders, hashes, writes and syncs.
//!
//! It sleeps until a record comes, lets others gather for a moment, and writes all of them with one write and one sync:
//! under load the costs of both, and of waking up, are shared by hundreds of records.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use jiff::civil::Date;

use super::content::Content;
use super::event::{Event, Record};
use super::log::{Keep, Log, SEGMENT_BYTES, day_of};
use super::progress::Progress;

/// How long a record waits for others. A sync of a cloud volume takes a few milliseconds, so waiting longer saves
/// little; not waiting would cost a sync for each record.
const GATHER: Duration = Duration::from_millis(10);
/// Batches are no larger, so that the first record of a burst does not wait for the last.
const BATCH_BYTES: usize = 1 << 20;
/// How often a disk that fails is tried.
const RETRY: Duration = Duration::from_millis(250);
/// How far the manifest may lag behind: less would cost a second sync for each batch.
const MANIFEST_LAG: Duration = Duration::from_secs(1);

/// How often it is looked whether the day of a segment is over.
const DAY_LAG: Duration = Duration::from_mins(1);

/// What the thread is told.
pub(super) enum Message {
    /// Write this.
    Record(Record),
    /// Nothing comes after this: close the segment, and tell when everything is on disk.
    Finish(Sender<()>),
}

/// The state of the thread.
pub(super) struct Writer {
    pub(super) directory: PathBuf,
    pub(super) receiver: Receiver<Message>,
    pub(super) progress: Arc<Progress>,
    pub(super) retention: Arc<Retention>,
}

/// What is deleted when, and who should have had it by then.
#[derive(Debug, Default)]
pub(super) struct Retention {
    pub(super) days: AtomicU32,
    /// Names.
    pub(super) sinks: ArcSwap<Vec<String>>,
    /// Whether segments have to be archived first.
    pub(super) is_archived: AtomicBool,
}

/// What is in the batch besides records.
#[derive(Default)]
struct Pending {
    places: usize,
    /// Bytes of what was said.
    content: usize,
    finishes: Vec<Sender<()>>,
}

impl Writer {
    /// Write until nobody can send any more.
    pub(super) fn run(self) {
        let mut log = self.insist(|| Log::open(&self.directory, SEGMENT_BYTES));
        self.progress
            .resume(log.directory(), log.committed().sequence);
        let mut pruned = None;
        let mut manifest_due = None;
        self.commit(&mut log, &mut Pending::default());
        loop {
            log.close_over(day_of(Timestamp::now()));
            self.progress.close(log.closed());
            let now = Instant::now();
            if log.is_ahead() {
                let due = *manifest_due.get_or_insert(now + MANIFEST_LAG);
                if now >= due {
                    self.insist(|| log.write_manifest());
                    manifest_due = None;
                }
            } else {
                // Written along with something else.
                manifest_due = None;
            }
            let mut pending = Pending::default();
            let manifest = manifest_due.map(|due| due.saturating_duration_since(now));
            let day = log.day().map(|_| DAY_LAG);
            let wait = manifest.into_iter().chain(day).min();
            match self.receive(wait) {
                Ok(message) => pending.take(message, &mut log),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if pending.finishes.is_empty() {
                std::thread::park_timeout(GATHER);
            }
            while log.waiting() < BATCH_BYTES
                && let Ok(message) = self.receiver.try_recv()
            {
                pending.take(message, &mut log);
            }
            self.commit(&mut log, &mut pending);
            self.prune(&mut log, &mut pruned);
        }
        self.insist(|| log.write_manifest());
    }

    fn receive(&self, wait: Option<Duration>) -> Result<Message, RecvTimeoutError> {
        match wait {
            Some(wait) => self.receiver.recv_timeout(wait),
            None => self
                .receiver
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn commit(&self, log: &mut Log, pending: &mut Pending) {
        loop {
            let bytes = log.waiting();
            self.insist(|| log.commit());
            let places = std::mem::take(&mut pending.places);
            self.progress
                .release_content(std::mem::take(&mut pending.content));
            self.progress
                .acknowledge(log.committed().sequence, bytes, places);
            let lost = self.progress.take_lost();
            if lost == 0 {
                break;
            }
            let event = Event::Lost { records: lost };
            let at = Timestamp::now();
            log.append(&Record { at, event });
        }
        if !pending.finishes.is_empty() {
            log.close();
            self.progress.close(log.closed());
        }
        for finish in pending.finishes.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = finish.send(());
        }
    }

    /// Once a day, and when the program starts.
    fn prune(&self, log: &mut Log, pruned: &mut Option<Date>) {
        if log.day().is_none() || *pruned == log.day() {
            return;
        }
        let sinks = self.retention.sinks.load();
        let keep = Keep {
            days: self.retention.days.load(Ordering::Relaxed),
            sinks: &sinks,
            is_archived: self.retention.is_archived.load(Ordering::Relaxed),
        };
        if let Err(error) = log.prune(day_of(Timestamp::now()), &keep) {
            tracing::warn!(%error, "failed to delete old audit segments");
        }
        *pruned = log.day();
    }

    /// Try until it works. Whoever must not go on without, sees that it does not.
    fn insist<T>(&self, mut action: impl FnMut() -> io::Result<T>) -> T {
        loop {
            match action() {
                Ok(done) => {
                    self.progress.succeed();
                    return done;
                }
                Err(error) => self.progress.fail(format!(
                    "{}: {error}; free some space or mount it writable",
                    self.directory.display()
                )),
            }
            std::thread::park_timeout(RETRY);
        }
    }
}

impl Pending {
    fn take(&mut self, message: Message, log: &mut Log) {
        match message {
            Message::Record(record) => {
                log.append(&record);
                self.places += 1;
                self.content += record.event.content().map_or(0, Content::bytes);
            }
            Message::Finish(done) => self.finishes.push(done),
        }
    }
}
