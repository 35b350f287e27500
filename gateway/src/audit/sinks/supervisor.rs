//! Which courier carries what: one for each sink and chain.
//!
//! A process carries the chain that it writes, and those that were left (by replicas that are gone), so that their
//! last records arrive as well. A lock beside each chain makes sure that one process does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use claw_crds::gateway_config::{AuditArchiveConfig, AuditSinkConfig};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};

use super::courier::{Courier, Records};
use super::standing::SinkCounters;
use super::target::Target;
use super::{Plan, Wanted};
use crate::audit::archive::{Archivist, Own, Storage};
use crate::audit::chains;
use crate::audit::progress::Progress;
use crate::outbound::Outbound;

const LOCK: &str = "sinks.lock";
/// How often it is looked whether chains were left or taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts and ends couriers.
pub(super) struct Supervisor {
    pub(super) log: PathBuf,
    pub(super) progress: Arc<Progress>,
    pub(super) counters: SinkCounters,
    pub(super) outbound: Outbound,
}

/// A courier at work.
struct Tour {
    config: AuditSinkConfig,
    task: JoinHandle<()>,
}

/// What is carried, by chain; the lock goes with the last of it.
#[derive(Default)]
struct Carried {
    chains: BTreeMap<PathBuf, Chain>,
}

struct Chain {
    is_own: bool,
    tours: BTreeMap<String, Tour>,
    archive: Option<(AuditArchiveConfig, JoinHandle<()>)>,
    /// As long as this process carries it, also when everything has arrived.
    _lock: File,
}

impl Supervisor {
    /// Work on a thread of its own until the plan is closed or gone; the receiver is told when.
    pub(super) fn spawn(self, plan: watch::Receiver<Plan>) -> std::io::Result<mpsc::Receiver<()>> {
        let (ended, told) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("audit-sinks".to_owned())
            .spawn(move || {
                LocalSet::new().block_on(&runtime, self.run(plan));
                // Whoever asked may have stopped waiting.
                let _ = ended.send(());
            })?;
        Ok(told)
    }

    async fn run(self, mut plan: watch::Receiver<Plan>) {
        let mut acknowledged = self.progress.subscribe();
        while self.progress.chain().is_none() {
            // Until the disk is there; the plan may be gone before.
            tokio::select! {
                changed = acknowledged.changed() => if changed.is_err() { return },
                changed = plan.changed() => if changed.is_err() || plan.borrow().is_closing { return },
            }
        }
        let mut carried = Carried::default();
        loop {
            let current = plan.borrow_and_update().clone();
            self.look(&mut carried, &current, &plan);
            if current.is_closing && carried.is_done() {
                return;
            }
            tokio::select! {
                changed = plan.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = carried.done(), if current.is_closing => {}
            }
        }
    }

    /// Make what is carried what should be.
    fn look(&self, carried: &mut Carried, plan: &Plan, plans: &watch::Receiver<Plan>) {
        let Some(own) = self.progress.chain() else {
            return;
        };
        let known = chains::chain_directories(&self.log).unwrap_or_default();
        let known: BTreeSet<PathBuf> = known.into_iter().collect();
        carried.chains.retain(|directory, chain| {
            let stays =
                chain.is_own || (known.contains(directory) && !chains::is_written(directory));
            if !stays {
                chain.end();
            }
            stays
        });
        for directory in known {
            let is_own = directory == *own;
            let is_wanted = (!plan.wanted.is_empty() || plan.archive.is_some())
                && (is_own || (!plan.is_closing && !chains::is_written(&directory)));
            if is_wanted
                && !carried.chains.contains_key(&directory)
                && let Some(lock) = lock(&directory)
            {
                let chain = Chain {
                    is_own,
                    tours: BTreeMap::new(),
                    archive: None,
                    _lock: lock,
                };
                carried.chains.insert(directory, chain);
            }
        }
        for (directory, chain) in &mut carried.chains {
            self.tours(directory, chain, plan, plans);
            self.archive(directory, chain, plan, plans);
        }
    }

    fn tours(
        &self,
        directory: &Path,
        chain: &mut Chain,
        plan: &Plan,
        plans: &watch::Receiver<Plan>,
    ) {
        chain.tours.retain(|_, tour| {
            let stays = plan
                .wanted
                .iter()
                .any(|wanted| wanted.config == tour.config);
            if !stays {
                // At an await, so never between a delivery and its note on disk but in the way of a crash.
                tour.task.abort();
                let name = &tour.config.name;
                if plan.wanted.iter().all(|wanted| wanted.config.name != *name) {
                    // Again, now that nothing of it is counted any more.
                    self.counters.forget(name);
                }
            }
            stays
        });
        for wanted in &plan.wanted {
            if !chain.tours.contains_key(&wanted.config.name)
                && let Some(tour) = self.tour(directory, chain.is_own, wanted, plans)
            {
                chain.tours.insert(wanted.config.name.clone(), tour);
            }
        }
    }

    fn tour(
        &self,
        directory: &Path,
        is_own: bool,
        wanted: &Wanted,
        plans: &watch::Receiver<Plan>,
    ) -> Option<Tour> {
        let target = Target::new(&wanted.config, &self.outbound)
            .map_err(|error| wanted.standing.fail(crate::config::chain(&error)))
            .ok()?;
        let courier = Courier {
            chain: directory.to_owned(),
            sink: wanted.config.name.clone(),
            records: if is_own {
                Records::Own(self.progress.subscribe())
            } else {
                Records::Left
            },
            target,
            standing: is_own.then(|| Arc::clone(&wanted.standing)),
            counters: self.counters.clone(),
            plan: plans.clone(),
        };
        Some(Tour {
            config: wanted.config.clone(),
            task: tokio::task::spawn_local(courier.run()),
        })
    }
}

impl Supervisor {
    fn archive(
        &self,
        directory: &Path,
        chain: &mut Chain,
        plan: &Plan,
        plans: &watch::Receiver<Plan>,
    ) {
        // Of chains that were left, another process archives the rest.
        let may_go_on = chain.is_own || !plan.is_closing;
        let wanted = plan.archive.as_ref().filter(|_| may_go_on);
        if let Some((config, task)) = &chain.archive {
            if wanted.is_some_and(|wanted| wanted.config == *config) {
                return;
            }
            // At an await: what was put is put again, under the same name.
            task.abort();
            chain.archive = None;
        }
        let Some(wanted) = wanted else { return };
        let storage = match Storage::new(&wanted.config, &self.outbound) {
            Ok(storage) => storage,
            Err(error) => return wanted.standing.fail(crate::config::chain(&error)),
        };
        let archivist = Archivist {
            chain: directory.to_owned(),
            storage,
            own: chain.is_own.then(|| Own {
                standing: Arc::clone(&wanted.standing),
                progress: Arc::clone(&self.progress),
            }),
            counters: self.counters.clone(),
            plan: plans.clone(),
            settled: None,
        };
        let task = tokio::task::spawn_local(archivist.run());
        chain.archive = Some((wanted.config.clone(), task));
    }
}

impl Chain {
    fn end(&self) {
        self.tours.values().for_each(|tour| tour.task.abort());
        if let Some((_, task)) = &self.archive {
            task.abort();
        }
    }
}

impl Carried {
    /// Whether the couriers and the archivist of the own chain have ended.
    fn is_done(&self) -> bool {
        let mut own = self.chains.values().filter(|chain| chain.is_own);
        own.all(|chain| {
            let tours = chain.tours.values().map(|tour| &tour.task);
            let archive = chain.archive.iter().map(|(_, task)| task);
            tours.chain(archive).all(JoinHandle::is_finished)
        })
    }

    /// Soon after they have.
    async fn done(&self) {
        while !self.is_done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// `None` while another process carries the chain, or the folder is not writable: it is tried again.
fn lock(directory: &Path) -> Option<File> {
    let lock = File::create(directory.join(LOCK)).ok()?;
    match lock.try_lock() {
        Ok(()) => Some(lock),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}
