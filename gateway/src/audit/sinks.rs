//! Sends records on: every sink gets every record of the log at least once, in order, from where its cursor stands.
//!
//! What is on disk is the queue: a courier (`courier`) reads segments (`reader`) behind the writer, hands batches to its
//! receiver (`target`), and notes on disk how far that is (`cursor`). So memory does not grow while a receiver is away,
//! and a crash at any point repeats a batch rather than losing it.
//!
//! All couriers share one thread with a runtime of its own (`supervisor`): neither files nor receivers that are slow
//! hold up a request. See `docs/adr/0008-how-audit-records-leave.md`.

mod backoff;
mod courier;
mod cursor;
mod http;
mod otlp;
mod reader;
mod standing;
mod supervisor;
mod syslog;
mod target;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use claw_crds::gateway_config::{AuditArchiveConfig, AuditSinkConfig};
use tokio::sync::watch;

pub(super) use backoff::Backoff;
pub(super) use cursor::Cursor;
pub(super) use standing::Standing;
pub use standing::{SinkCounters, SinkReport};
use supervisor::Supervisor;

use super::archive;
use super::progress::Progress;
use crate::outbound::Outbound;

/// A sink that is wanted, and what is known of it.
#[derive(Clone, Debug)]
struct Wanted {
    config: AuditSinkConfig,
    standing: Arc<Standing>,
}

/// An archive that is wanted, and what is known of it.
#[derive(Clone, Debug)]
struct WantedArchive {
    config: AuditArchiveConfig,
    standing: Arc<Standing>,
}

/// What the thread is to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    wanted: Vec<Wanted>,
    archive: Option<WantedArchive>,
    /// Deliver what there is, and end.
    pub(super) is_closing: bool,
}

/// The sinks of a log that is on.
pub(super) struct Sinks {
    log: PathBuf,
    progress: Arc<Progress>,
    counters: SinkCounters,
    outbound: Option<Outbound>,
    plan: watch::Sender<Plan>,
    /// Those that must not be far behind.
    blocking: ArcSwap<Vec<Arc<Standing>>>,
    thread: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl Sinks {
    pub(super) fn new(
        log: PathBuf,
        progress: Arc<Progress>,
        counters: SinkCounters,
        outbound: Option<Outbound>,
    ) -> Self {
        Self {
            log,
            progress,
            counters,
            outbound,
            plan: watch::Sender::default(),
            blocking: ArcSwap::default(),
            thread: Mutex::default(),
        }
    }

    /// Send to these from now on. Those that are the same as before go on undisturbed.
    pub(super) fn set(
        &self,
        configs: &[AuditSinkConfig],
        archive: Option<&AuditArchiveConfig>,
    ) -> std::io::Result<()> {
        let (before, archive_before) = {
            let plan = self.plan.borrow();
            (plan.wanted.clone(), plan.archive.clone())
        };
        let archive = archive.map(|config| {
            let known = archive_before.filter(|known| known.config == *config);
            known.unwrap_or_else(|| WantedArchive {
                config: config.clone(),
                standing: Arc::new(Standing::of_archive(archive::NAME)),
            })
        });
        let wanted: Vec<_> = configs
            .iter()
            .map(|config| {
                let known = before.iter().find(|known| known.config == *config);
                known.cloned().unwrap_or_else(|| Wanted {
                    config: config.clone(),
                    standing: Arc::new(Standing::new(config)),
                })
            })
            .collect();
        if !wanted.is_empty() || archive.is_some() {
            self.start()?;
        }
        for gone in &before {
            if wanted
                .iter()
                .all(|kept| kept.config.name != gone.config.name)
            {
                self.counters.forget(&gone.config.name);
            }
        }
        if archive.is_none() {
            self.counters.forget(archive::NAME);
        }
        let blocking = wanted.iter().map(|wanted| &wanted.standing);
        let blocking = blocking.filter(|standing| standing.blocks()).cloned();
        self.blocking.store(Arc::new(blocking.collect()));
        self.plan.send_modify(|plan| {
            plan.wanted = wanted;
            plan.archive = archive;
        });
        Ok(())
    }

    /// The thread, on first use.
    fn start(&self) -> std::io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some() {
            return Ok(());
        }
        let outbound = self
            .outbound
            .clone()
            .ok_or_else(|| std::io::Error::other("this log has no way out"))?;
        let supervisor = Supervisor {
            log: self.log.clone(),
            progress: Arc::clone(&self.progress),
            counters: self.counters.clone(),
            outbound,
        };
        *thread = Some(supervisor.spawn(self.plan.subscribe())?);
        Ok(())
    }

    /// Whether a sink that must not be far behind is.
    pub(super) fn is_blocked(&self) -> bool {
        let blocking = self.blocking.load();
        !blocking.is_empty() && {
            let acknowledged = self.progress.acknowledged();
            blocking
                .iter()
                .any(|standing| standing.is_too_far_behind(acknowledged))
        }
    }

    /// How all of them are, by name.
    pub(super) fn reports(&self) -> Vec<SinkReport> {
        let acknowledged = self.progress.acknowledged();
        let plan = self.plan.borrow();
        let sinks = plan.wanted.iter().map(|wanted| &wanted.standing);
        let archive = plan.archive.iter().map(|wanted| &wanted.standing);
        sinks
            .chain(archive)
            .map(|standing| standing.report(acknowledged))
            .collect()
    }

    /// Deliver what there is, and end. Blocking, until `deadline` at most; what is left then waits on disk.
    pub(super) fn close(&self, deadline: Instant) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ended) = thread.as_ref() else {
            return;
        };
        self.plan.send_modify(|plan| plan.is_closing = true);
        let patience = deadline.saturating_duration_since(Instant::now());
        if matches!(
            ended.recv_timeout(patience),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        ) {
            tracing::warn!(
                "audit sinks could not be given everything; they get it after the next start"
            );
        }
    }
}
