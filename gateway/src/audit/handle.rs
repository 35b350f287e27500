//! What the rest of the gateway holds of the log.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use claw_crds::gateway_config::{AuditConfig, AuditFailureConfig};
use jiff::Timestamp;

use super::FOLDER;
use super::event::{Event, Record};
use super::progress::{Counters, Progress};
use super::sinks::{SinkReport, Sinks};
use super::writer::{Message, Retention, Writer};
use crate::error::GatewayError;
use crate::outbound::Outbound;

/// How long a configuration that switches the log off waits for the last record.
const LAST_RECORD: Duration = Duration::from_secs(5);

/// The audit log of a gateway; off until a configuration asks for it.
#[derive(Default)]
pub struct Audit {
    state_dir: PathBuf,
    counters: Counters,
    /// The way to sinks.
    outbound: Option<Outbound>,
    running: ArcSwapOption<Running>,
    switch: Mutex<()>,
}

/// The log while it is on.
struct Running {
    sender: Sender<Message>,
    writer: Thread,
    progress: Arc<Progress>,
    blocks: AtomicBool,
    with_content: AtomicBool,
    retention: Arc<Retention>,
    sinks: Sinks,
}

/// The right to one record. Taken before work begins, so that there is room for its record when it is over.
#[must_use]
pub struct Place(Option<Arc<Running>>);

impl Audit {
    /// A log in a state directory.
    pub fn new(state_dir: PathBuf, counters: Counters) -> Self {
        Self {
            state_dir,
            counters,
            ..Self::default()
        }
    }

    /// The same with a way out, to sinks.
    #[must_use]
    pub fn with_outbound(self, outbound: Outbound) -> Self {
        Self {
            outbound: Some(outbound),
            ..self
        }
    }

    /// Switch it on, off, or to other settings. Blocking.
    pub fn configure(&self, config: Option<&AuditConfig>) -> std::io::Result<()> {
        let _switch = self.switch.lock().unwrap_or_else(PoisonError::into_inner);
        match (config, self.running.load_full()) {
            (None, None) => {}
            (None, Some(running)) => {
                running.note(Event::Disabled);
                running.finish(LAST_RECORD);
                self.running.store(None);
            }
            (Some(config), Some(running)) => running.set(config)?,
            (Some(config), None) => {
                let running = self.start(config)?;
                running.note(Event::Started {
                    version: env!("CARGO_PKG_VERSION"),
                });
                self.running.store(Some(Arc::new(running)));
            }
        }
        Ok(())
    }

    fn start(&self, config: &AuditConfig) -> std::io::Result<Running> {
        let (sender, receiver) = channel();
        let progress = Arc::new(Progress::new(self.counters.clone()));
        let retention = Arc::<Retention>::default();
        let directory = self.state_dir.join(FOLDER);
        let sinks = Sinks::new(
            directory.clone(),
            Arc::clone(&progress),
            self.counters.sinks.clone(),
            self.outbound.clone(),
        );
        // Before the writer begins: the first thing it does is to delete what is too old.
        retention
            .days
            .store(config.retention_days, Ordering::Relaxed);
        let is_archived = config.archive.is_some();
        retention.is_archived.store(is_archived, Ordering::Relaxed);
        let writer = Writer {
            directory,
            receiver,
            progress: Arc::clone(&progress),
            retention: Arc::clone(&retention),
        };
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())?;
        let running = Running {
            sender,
            writer: thread.thread().clone(),
            progress,
            blocks: AtomicBool::new(true),
            with_content: AtomicBool::new(false),
            retention,
            sinks,
        };
        running.set(config)?;
        Ok(running)
    }

    /// Before work begins: room for its record, or a refusal where work without a record is not allowed.
    pub fn admit(&self) -> Result<Place, GatewayError> {
        let Some(running) = self.running.load_full() else {
            return Ok(Place(None));
        };
        let blocks = running.blocks.load(Ordering::Relaxed);
        if (blocks && running.progress.is_failing()) || running.sinks.is_blocked() {
            return Err(GatewayError::AuditUnavailable);
        }
        if running.progress.take_place() {
            return Ok(Place(Some(running)));
        }
        if blocks {
            return Err(GatewayError::AuditUnavailable);
        }
        running.progress.lose(1);
        Ok(Place(None))
    }

    /// Record work that is over and had no place. Where none is free, the record is lost and counted.
    pub fn offer(&self, event: Event) {
        if let Some(running) = self.running.load_full() {
            if running.progress.take_place() {
                running.send(event);
            } else {
                running.progress.lose(1);
            }
        }
    }

    /// Record what administers the gateway. It is rare, and finds room in any case.
    pub fn note(&self, event: Event) {
        if let Some(running) = self.running.load_full() {
            running.note(event);
        }
    }

    /// How far the log is; `None` while it is off.
    pub fn progress(&self) -> Option<Arc<Progress>> {
        let running = self.running.load_full()?;
        Some(Arc::clone(&running.progress))
    }

    /// Whether records are to hold what was said.
    pub fn wants_content(&self) -> bool {
        let running = self.running.load();
        running
            .as_ref()
            .is_some_and(|running| running.with_content.load(Ordering::Relaxed))
    }

    /// How its sinks are.
    pub fn sinks(&self) -> Vec<SinkReport> {
        let running = self.running.load_full();
        running.map_or_else(Vec::new, |running| running.sinks.reports())
    }

    /// Record the end of the program, and wait until everything is on disk and with the sinks. Blocking, for `patience`
    /// at most.
    pub fn close(&self, patience: Duration) {
        if let Some(running) = self.running.load_full() {
            running.note(Event::Stopped);
            if !running.finish(patience) {
                tracing::error!("the last audit records could not be written in time");
            }
        }
    }
}

impl Running {
    fn set(&self, config: &AuditConfig) -> std::io::Result<()> {
        let AuditConfig {
            retention_days,
            on_failure,
            with_content,
            sinks,
            archive,
        } = config;
        self.retention
            .days
            .store(*retention_days, Ordering::Relaxed);
        self.with_content.store(*with_content, Ordering::Relaxed);
        let names = sinks.iter().map(|sink| sink.name.clone());
        self.retention.sinks.store(Arc::new(names.collect()));
        self.blocks
            .store(*on_failure == AuditFailureConfig::Block, Ordering::Relaxed);
        self.retention
            .is_archived
            .store(archive.is_some(), Ordering::Relaxed);
        self.sinks.set(sinks, archive.as_ref())
    }

    fn note(&self, event: Event) {
        self.progress.force_place();
        self.send(event);
    }

    /// For holders of a place.
    fn send(&self, mut event: Event) {
        let at = Timestamp::now();
        if let Some(content) = event.content_mut()
            && !self.progress.take_content(content.bytes())
        {
            content.omit();
        }
        if self
            .sender
            .send(Message::Record(Record { at, event }))
            .is_err()
        {
            self.progress.lose(1);
            self.progress.release(1);
            self.progress
                .fail("the writer of the audit log ended; restart the gateway".to_owned());
        }
    }

    /// Nothing comes any more. Tells whether everything is on disk.
    fn finish(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let is_on_disk = self.close(patience);
        self.sinks.close(deadline);
        is_on_disk
    }

    fn close(&self, patience: Duration) -> bool {
        let (done, written) = channel();
        let sent = self.sender.send(Message::Finish(done)).is_ok();
        self.writer.unpark();
        sent && written.recv_timeout(patience).is_ok()
    }
}

impl Place {
    /// Whether the record is wanted.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the record is to hold what was said.
    pub fn wants_content(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|running| running.with_content.load(Ordering::Relaxed))
    }

    /// Use the place.
    pub fn record(mut self, event: Event) {
        if let Some(running) = self.0.take() {
            running.send(event);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.progress.release(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify;

    /// A log whose folder cannot be made, since a file is in its way.
    fn obstructed(on_failure: AuditFailureConfig) -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FOLDER), "in the way").expect("written");
        let audit = Audit::new(folder.path().to_owned(), Counters::default());
        let config = AuditConfig {
            on_failure,
            ..AuditConfig::default()
        };
        audit.configure(Some(&config)).expect("a thread");
        let progress = audit.progress().expect("on");
        wait(|| progress.is_failing());
        (folder, audit)
    }

    fn wait(mut condition: impl FnMut() -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(std::time::Instant::now() < deadline, "in time");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn request() -> Event {
        Event::Request(Box::default())
    }

    #[test]
    fn off_costs_nothing_and_refuses_nobody() {
        let audit = Audit::default();
        assert!(!audit.admit().expect("let in").is_wanted());
        audit.note(Event::Stopped);
        assert!(audit.progress().is_none());
    }

    #[test]
    fn block_refuses_new_work_and_loses_nothing() {
        let (folder, audit) = obstructed(AuditFailureConfig::Block);
        assert!(matches!(audit.admit(), Err(GatewayError::AuditUnavailable)));
        std::fs::remove_file(folder.path().join(FOLDER)).expect("removed");
        wait(|| audit.admit().is_ok());
        audit.admit().expect("let in").record(request());
        audit.close(Duration::from_secs(30));
        let report = verify(&folder.path().join(FOLDER))
            .expect("readable")
            .remove(0);
        assert_eq!((report.records, report.faults), (3, Vec::new()));
    }

    #[test]
    fn shed_goes_on_counts_what_is_lost_and_records_the_count() {
        let (folder, audit) = obstructed(AuditFailureConfig::Shed);
        let mut written = 0;
        loop {
            let place = audit.admit().expect("let in");
            if !place.is_wanted() {
                break;
            }
            place.record(request());
            written += 1;
        }
        drop(audit.admit().expect("let in"));
        assert_eq!(audit.counters.lost.get(), 2);
        std::fs::remove_file(folder.path().join(FOLDER)).expect("removed");
        audit.close(Duration::from_mins(1));
        let log = folder.path().join(FOLDER);
        let report = verify(&log).expect("readable").remove(0);
        // Started and stopped, the requests, and the gap.
        assert_eq!((report.records, report.faults), (written + 3, Vec::new()));
        let segment = std::fs::read_to_string(
            &crate::audit::Segment::list(&log.join("chain-0")).expect("listed")[0].path,
        );
        assert!(segment.expect("text").contains(r#""claw.audit.lost":2"#));
    }

    #[test]
    fn an_unused_place_is_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(folder.path().to_owned(), Counters::default());
        audit
            .configure(Some(&AuditConfig::default()))
            .expect("a thread");
        for _ in 0..40_000 {
            assert!(audit.admit().expect("let in").is_wanted());
        }
        audit.configure(None).expect("off");
        assert!(!audit.admit().expect("let in").is_wanted());
        let report = verify(&folder.path().join(FOLDER))
            .expect("readable")
            .remove(0);
        assert_eq!(report.records, 2, "started and disabled");
    }
}
