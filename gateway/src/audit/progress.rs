//! What the writer and everybody else know of each other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use super::sinks::SinkCounters;

/// Records that wait for the disk or belong to requests under way. At half a kilobyte each that is 8 MiB; at 10,000
/// requests a second the disk may be away for more than a second before anybody notices.
const PLACES: usize = 16 << 10;

/// Bytes of what was said in records that wait for the disk. Beyond it, records are kept without.
const CONTENT_BYTES: usize = 64 << 20;

/// Counts, shared with the metrics.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Records on disk.
    pub records: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Records that were never written.
    pub lost: Counter,
    /// 1 while records cannot be written.
    pub failing: Gauge,
    /// Of the sinks.
    pub sinks: SinkCounters,
}

/// How far the log is.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicU64,
    /// The last record of segments that nothing is added to any more.
    closed: AtomicU64,
    /// The same, for those who wait for it.
    told: watch::Sender<u64>,
    chain: OnceLock<PathBuf>,
    places: AtomicUsize,
    content: AtomicUsize,
    is_failing: AtomicBool,
    fault: ArcSwapOption<String>,
    lost: AtomicU64,
    counters: Counters,
}

impl Progress {
    pub(super) fn new(counters: Counters) -> Self {
        Self {
            counters,
            ..Self::default()
        }
    }

    /// The last record that is known to be on disk.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Why records cannot be written now.
    pub fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// Take one of the places, where one is free.
    pub(super) fn take_place(&self) -> bool {
        let taken = self.places.fetch_add(1, Ordering::AcqRel);
        if taken >= PLACES {
            self.release(1);
        }
        taken < PLACES
    }

    /// Take a place that is needed in any case: what administers the gateway is rare and always recorded.
    pub(super) fn force_place(&self) {
        self.places.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn release(&self, places: usize) {
        self.places.fetch_sub(places, Ordering::AcqRel);
    }

    /// Take room for what was said, where there is some.
    pub(super) fn take_content(&self, bytes: usize) -> bool {
        let taken = self.content.fetch_add(bytes, Ordering::AcqRel);
        let is_room = taken + bytes <= CONTENT_BYTES;
        if !is_room {
            self.release_content(bytes);
        }
        is_room
    }

    pub(super) fn release_content(&self, bytes: usize) {
        self.content.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Records are gone for good.
    pub(super) fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::AcqRel);
        self.counters.lost.inc_by(records);
    }

    /// Those that no record tells of yet.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::AcqRel)
    }

    /// A batch is on disk.
    pub(super) fn acknowledge(&self, sequence: u64, bytes: usize, places: usize) {
        let before = self.acknowledged.swap(sequence, Ordering::AcqRel);
        self.counters.records.inc_by(sequence - before);
        self.counters.bytes.inc_by(bytes as u64);
        self.release(places);
        if sequence > before {
            self.told.send_replace(sequence);
        }
    }

    /// The disk takes what it is given.
    pub(super) fn succeed(&self) {
        if self.is_failing() {
            self.is_failing.store(false, Ordering::Release);
            self.fault.store(None);
            self.counters.failing.set(0);
            tracing::info!("audit records can be written again");
        }
    }

    /// Nothing is added any more to segments up to this record.
    pub(super) fn close(&self, sequence: u64) {
        self.closed.store(sequence, Ordering::Release);
    }

    /// The last record of closed segments.
    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Acquire)
    }

    /// Where the log goes on.
    pub(super) fn resume(&self, chain: &Path, sequence: u64) {
        self.acknowledged.store(sequence, Ordering::Release);
        self.chain.get_or_init(|| chain.to_owned());
        self.told.send_replace(sequence);
    }

    /// The folder that is written, once it is known.
    pub(super) fn chain(&self) -> Option<&PathBuf> {
        self.chain.get()
    }

    /// Told of each batch that is on disk.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    pub(super) fn fail(&self, fault: String) {
        if !self.is_failing.swap(true, Ordering::AcqRel) {
            tracing::error!(fault, "audit records cannot be written");
            self.counters.failing.set(1);
        }
        self.fault.store(Some(Arc::new(fault)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_bounded() {
        let progress = Progress::default();
        assert!(progress.take_content(CONTENT_BYTES) && !progress.take_content(1));
        progress.release_content(1);
        assert!(progress.take_content(1));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let progress = Progress::default();
        assert!((0..PLACES).all(|_| progress.take_place()));
        assert!(!progress.take_place() && !progress.take_place());
        progress.release(1);
        assert!(progress.take_place() && !progress.take_place());
    }
}
