//! Carries the records of one chain to one receiver, for as long as both are there.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Plan;
use super::backoff::Backoff;
use super::cursor::Cursor;
use super::reader::{self, Batch, Position};
use super::standing::{SinkCounters, Standing};
use super::target::{SendError, Target};

/// How long new records gather before they are sent, so that a busy gateway sends hundreds at a time.
const GATHER: Duration = Duration::from_millis(100);
/// Batches that are on their way; further ones join the newest.
const MOST_UNSETTLED: usize = 256;

/// Which chain is read.
pub(super) enum Records {
    /// The one that this process writes; the number is that of the last record that is on disk.
    Own(watch::Receiver<u64>),
    /// One that nobody writes any more.
    Left,
}

/// Carries records.
pub(super) struct Courier {
    pub(super) chain: PathBuf,
    pub(super) sink: String,
    pub(super) records: Records,
    pub(super) target: Target,
    /// `None` for a chain that was left: others ask after that of the process only.
    pub(super) standing: Option<Arc<Standing>>,
    pub(super) counters: SinkCounters,
    pub(super) plan: watch::Receiver<Plan>,
}

/// Where a courier is.
struct Way {
    /// What is known to have arrived, as on disk.
    cursor: Cursor,
    /// What was handed over.
    sent: Position,
    /// What was handed over when.
    unsettled: VecDeque<(Instant, Position)>,
    /// Records that the receiver takes at a time.
    most: usize,
    backoff: Backoff,
}

/// Why a courier stops for a moment.
enum Pause {
    /// Nothing is new.
    Idle,
    /// The receiver does not take anything.
    Failed(SendError),
    /// The folder cannot be read or written.
    Disk(std::io::Error),
}

impl Courier {
    /// Until everything has arrived that will ever be in the chain, or until dropped.
    pub(super) async fn run(mut self) {
        let mut way = self.begin().await;
        loop {
            let pause = self.advance(&mut way).await;
            match pause {
                Pause::Idle if self.is_last() => match self.target.finish().await {
                    Ok(()) => {
                        if self
                            .settle(&mut way, Instant::now() + Duration::from_hours(1))
                            .is_ok()
                        {
                            return;
                        }
                    }
                    Err(error) => self.fail(&mut way, &error.to_string(), None).await,
                },
                Pause::Idle => self.wait(&mut way).await,
                Pause::Failed(SendError::TooLarge) if way.most > 1 => {
                    way.most /= 2;
                    self.rewind(&mut way);
                }
                Pause::Failed(error) => {
                    let asked = match error {
                        SendError::Refused { after, .. } => after,
                        SendError::Unreachable(_) | SendError::TooLarge => None,
                    };
                    self.fail(&mut way, &error.to_string(), asked).await;
                }
                Pause::Disk(error) => {
                    let told = format!("{}: {error}", self.chain.display());
                    self.fail(&mut way, &told, None).await;
                }
            }
        }
    }

    /// Where the cursor stands. One that cannot be read is insisted on, unless it says nothing: then everything that is
    /// kept is sent again.
    async fn begin(&self) -> Way {
        let mut backoff = Backoff::default();
        let (cursor, is_new) = loop {
            match Cursor::read(&self.chain, &self.sink) {
                Ok(Some(cursor)) => break (cursor, false),
                Ok(None) => break (Cursor::default(), true),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    tracing::error!(
                        sink = self.sink,
                        chain = %self.chain.display(),
                        "the cursor of an audit sink was altered; it gets everything again that is kept"
                    );
                    break (Cursor::default(), true);
                }
                Err(error) => {
                    self.tell(format!("{}: {error}", self.chain.display()));
                    tokio::time::sleep(backoff.next(None)).await;
                }
            }
        };
        let mut way = Way {
            sent: Position {
                sequence: cursor.delivered,
                place: cursor.place,
            },
            cursor,
            unsettled: VecDeque::new(),
            most: usize::MAX,
            backoff: Backoff::default(),
        };
        // Whoever begins with little to catch up counts from the start; else requests would wait for what was before.
        let few = self
            .standing
            .as_ref()
            .and_then(|standing| standing.max_behind());
        if is_new && self.last() <= few.unwrap_or_default() {
            way.cursor.has_caught_up = true;
        }
        self.reach(&way);
        way
    }

    /// The last record that may be sent.
    fn last(&self) -> u64 {
        match &self.records {
            Records::Own(acknowledged) => *acknowledged.borrow(),
            Records::Left => u64::MAX,
        }
    }

    /// Whether nothing will come any more.
    fn is_last(&self) -> bool {
        matches!(self.records, Records::Left) || self.plan.borrow().is_closing
    }

    /// Send until something stops it.
    async fn advance(&mut self, way: &mut Way) -> Pause {
        loop {
            if let Err(pause) = self.settle(way, Instant::now()) {
                return pause;
            }
            let batch = match reader::read(&self.chain, way.sent, self.last(), way.most) {
                Ok(batch) => batch,
                Err(error) => return Pause::Disk(error),
            };
            self.warn(&batch);
            if batch.is_empty() {
                way.sent = batch.end;
                self.caught_up(way);
                return Pause::Idle;
            }
            if let Err(error) = self.target.send(&batch).await {
                return Pause::Failed(error);
            }
            way.sent = batch.end;
            if way.unsettled.len() >= MOST_UNSETTLED {
                way.unsettled.pop_back();
            }
            way.unsettled.push_back((Instant::now(), batch.end));
            way.backoff.reset();
            self.counters.sent(&self.sink, batch.len());
            if let Some(standing) = &self.standing {
                standing.succeed();
            }
            self.reach(way);
        }
    }

    fn warn(&self, batch: &Batch) {
        if batch.missing > 0 {
            tracing::error!(
                sink = self.sink,
                records = batch.missing,
                "audit records were no longer there when their sink could be reached"
            );
        }
        if batch.unreadable > 0 {
            tracing::error!(
                sink = self.sink,
                lines = batch.unreadable,
                "lines of the audit log are no records and are not sent; run clawdbot audit verify"
            );
        }
    }

    /// Note what has arrived.
    fn settle(&mut self, way: &mut Way, now: Instant) -> Result<(), Pause> {
        let after = self.target.settles_after();
        let arrived = way
            .unsettled
            .iter()
            .take_while(|(sent, _)| *sent + after <= now)
            .count();
        if arrived == 0 {
            return Ok(());
        }
        self.target.check().map_err(Pause::Failed)?;
        let (_, position) = way.unsettled[arrived - 1];
        let cursor = Cursor {
            delivered: position.sequence,
            place: position.place,
            has_caught_up: way.cursor.has_caught_up,
        };
        cursor.write(&self.chain, &self.sink).map_err(Pause::Disk)?;
        way.unsettled.drain(..arrived);
        way.cursor = cursor;
        Ok(())
    }

    fn caught_up(&self, way: &mut Way) {
        way.cursor.has_caught_up = true;
        self.reach(way);
    }

    fn reach(&self, way: &Way) {
        if let Some(standing) = &self.standing {
            standing.reach(way.sent.sequence, way.cursor.has_caught_up);
        }
    }

    fn rewind(&self, way: &mut Way) {
        way.unsettled.clear();
        way.sent = Position {
            sequence: way.cursor.delivered,
            place: way.cursor.place,
        };
        self.reach(way);
    }

    fn tell(&self, fault: String) {
        self.counters.failed(&self.sink);
        if let Some(standing) = &self.standing {
            standing.fail(fault);
        }
    }

    /// Go back to what has arrived, and wait for a while.
    async fn fail(&mut self, way: &mut Way, fault: &str, asked: Option<Duration>) {
        self.tell(fault.to_owned());
        self.rewind(way);
        tokio::time::sleep(way.backoff.next(asked)).await;
    }

    /// Until there is something to do.
    async fn wait(&mut self, way: &mut Way) {
        let due = way
            .unsettled
            .front()
            .map(|(sent, _)| *sent + self.target.settles_after());
        let settled = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let Records::Own(acknowledged) = &mut self.records else {
            return settled.await;
        };
        let broken = tokio::select! {
            // The writer is gone with the log, and so is this, soon.
            changed = acknowledged.changed() => {
                if changed.is_ok() {
                    tokio::time::sleep(GATHER).await;
                } else {
                    std::future::pending::<()>().await;
                }
                None
            }
            // A closing log waits for us, not for more records.
            _ = self.plan.changed() => None,
            () = settled => None,
            error = self.target.broken(), if due.is_some() => Some(error),
        };
        if let Some(error) = broken {
            self.fail(way, &error.to_string(), None).await;
        }
    }
}
