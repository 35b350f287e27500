//! Limits that hold across processes, restarts and crashes: the book of this process, kept in step with the database.
//!
//! One task talks to the database: it answers requests that found nothing free, several at a time, and tells now and
//! then what was given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::tz::TimeZone;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::book::{Attempt, Book, Hold, Line, Need, Standing};
use super::clock::StoreClock;
use super::meter::BudgetKey;
use super::rows::{self, Verdicts, Wanted};
use crate::config::chain;
use crate::store::{Store, StoreError};

/// How often what was given is told.
const TICK: Duration = Duration::from_secs(1);
/// How often the database hears of a process that has nothing to tell, in ticks.
const BEAT: u32 = 5;
/// After a failure requests are refused at once for so long, rather than each after waiting.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests that the database is asked about at a time.
const BATCH: usize = 128;
/// Requests that may wait for the database.
const QUEUE: usize = 4096;

/// Why a request was not given what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The need at this place does not fit now; it begins anew at this time.
    Spent {
        /// Which need.
        need: usize,
        /// Milliseconds until the count begins anew.
        wait: Duration,
    },
    /// The need at this place is larger than its limit.
    TooLarge {
        /// Which need.
        need: usize,
    },
    /// The database cannot be asked.
    Unavailable,
}

/// A request that waits for the database.
struct Job {
    needs: Vec<Need>,
    zone: TimeZone,
    reply: oneshot::Sender<Result<Vec<Hold>, Denial>>,
}

/// The limits of one gateway in one process.
pub struct Ledger {
    /// The gateway, since several may share a database.
    gateway: String,
    store: Store,
    clock: StoreClock,
    /// Milliseconds by which this process's wall clock is wrong; for tests.
    skew_ms: i64,
    book: Mutex<Book>,
    jobs: mpsc::Sender<Job>,
    low: Notify,
    fault: ArcSwapOption<String>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Ledger {
    /// Keep the limits of `gateway` in `store`.
    pub fn start(gateway: impl Into<String>, store: Store) -> Arc<Self> {
        Self::start_skewed(gateway, store, 0)
    }

    /// The same on a machine whose wall clock is wrong.
    pub fn start_skewed(gateway: impl Into<String>, store: Store, skew_ms: i64) -> Arc<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let ledger = Arc::new(Self {
            gateway: gateway.into(),
            store,
            clock: StoreClock::new(),
            skew_ms,
            book: Mutex::default(),
            jobs,
            low: Notify::new(),
            fault: ArcSwapOption::const_empty(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let keeper = Keeper {
            ledger: Arc::clone(&ledger),
            process: None,
            failed_at: None,
        };
        ledger.tasks.spawn(keeper.run(queue));
        ledger
    }

    /// Give a request everything that it needs, or nothing.
    pub async fn reserve(&self, needs: &[Need], zone: &TimeZone) -> Result<Vec<Hold>, Denial> {
        if let Some(need) = needs.iter().position(|need| need.amount > need.limit) {
            return Err(Denial::TooLarge { need });
        }
        if let Some(now) = self.clock.now() {
            let mut book = self.book();
            match book.give(needs, now, zone) {
                Attempt::Given(holds) => {
                    let is_low = book.is_low(needs);
                    drop(book);
                    if is_low {
                        self.low.notify_one();
                    }
                    return Ok(holds);
                }
                Attempt::Refused(need) => {
                    return Err(spent(need, book.standing(&needs[need].key), now));
                }
                Attempt::Ask => {}
            }
        }
        let (reply, answer) = oneshot::channel();
        let job = Job {
            needs: needs.to_vec(),
            zone: zone.clone(),
            reply,
        };
        // A queue that is full waits for a database that has stopped.
        self.jobs.try_send(job).map_err(|_| Denial::Unavailable)?;
        answer.await.unwrap_or(Err(Denial::Unavailable))
    }

    /// A request is over and has used `used` of what it held.
    pub fn settle(&self, hold: &Hold, used: i64) {
        self.book().settle(hold, used);
    }

    /// Where a count stands.
    pub fn standing(&self, key: &BudgetKey) -> Option<Standing> {
        self.book().standing(key)
    }

    /// The database's time in milliseconds, once it is known.
    pub fn now(&self) -> Option<i64> {
        self.clock.now()
    }

    /// What keeps the database from being used.
    pub fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    /// Where the counts are kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Give back what is free, and end. What is given afterwards is refused.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        // No panic leaves it half changed.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spent(need: usize, standing: Option<Standing>, now: i64) -> Denial {
    let wait = standing.map_or(0, |standing| standing.ends_at - now);
    Denial::Spent {
        need,
        wait: Duration::from_millis(u64::try_from(wait).unwrap_or_default().max(1)),
    }
}

/// The task that talks to the database.
struct Keeper {
    ledger: Arc<Ledger>,
    /// The name of this process in the database, once it is there.
    process: Option<String>,
    failed_at: Option<Instant>,
}

/// What is exchanged with the database at a time.
struct Batch {
    lines: Vec<Line>,
    requests: Vec<Wanted>,
}

impl Keeper {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let ledger = Arc::clone(&self.ledger);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks_to_beat = 0;
        loop {
            tokio::select! {
                biased;
                () = ledger.closing.cancelled() => break,
                _ = ticks.tick() => {
                    let is_due = ticks_to_beat == 0 || ledger.fault.load().is_some();
                    ticks_to_beat = if is_due { BEAT } else { ticks_to_beat } - 1;
                    self.tick(is_due).await;
                }
                () = ledger.low.notified() => self.exchange(Vec::new()).await,
                job = queue.recv() => {
                    let mut jobs: Vec<Job> = job.into_iter().collect();
                    while jobs.len() < BATCH && let Ok(job) = queue.try_recv() {
                        jobs.push(job);
                    }
                    self.answer(jobs).await;
                }
            }
        }
        self.end().await;
    }

    async fn tick(&mut self, is_due: bool) {
        if let Some(now) = self.ledger.clock.now() {
            self.ledger.book().tick(now);
        }
        if is_due {
            let outcome = self.beat().await;
            self.note(outcome);
        }
        if self.failed_at.is_none() {
            self.exchange(Vec::new()).await;
        }
    }

    async fn answer(&mut self, jobs: Vec<Job>) {
        let is_paused = self.failed_at.is_some_and(|at| at.elapsed() < PAUSE);
        if !is_paused && self.ledger.clock.now().is_none() {
            let outcome = self.beat().await;
            self.note(outcome);
        }
        if is_paused || self.ledger.clock.now().is_none() {
            for job in jobs {
                // Whoever left needs no answer.
                let _ = job.reply.send(Err(Denial::Unavailable));
            }
            return;
        }
        self.exchange(jobs).await;
    }

    /// Tell what was given, and ask for what is needed.
    async fn exchange(&mut self, jobs: Vec<Job>) {
        let ledger = Arc::clone(&self.ledger);
        let Some(now) = ledger.clock.now() else {
            return;
        };
        // Whoever waits in vain for an answer has left, and holds nothing yet.
        let jobs: Vec<Job> = jobs
            .into_iter()
            .filter(|job| !job.reply.is_closed())
            .collect();
        let mut set_aside = Vec::new();
        let batch = {
            let mut book = ledger.book();
            set_aside.extend(
                jobs.iter()
                    .map(|job| book.set_aside(&job.needs, now, &job.zone)),
            );
            batch(&mut book, &jobs, &set_aside)
        };
        if batch.lines.is_empty() {
            return;
        }
        let outcome = self.write(&batch).await;
        let mut book = ledger.book();
        let verdicts = match outcome {
            Ok(Some(verdicts)) => {
                for (line, verdict) in batch.lines.iter().zip(&verdicts.lines) {
                    book.apply(line, verdict);
                }
                drop(book);
                self.note(Ok(()));
                verdicts
            }
            // Everything begins anew, under a new name.
            Ok(None) => {
                book.forgotten();
                drop(book);
                self.process = None;
                refuse(jobs);
                return;
            }
            Err(error) => {
                batch.lines.iter().for_each(|line| book.failed(line));
                for hold in set_aside.iter().flatten() {
                    book.settle(hold, 0);
                }
                drop(book);
                self.note(Err(error));
                refuse(jobs);
                return;
            }
        };
        let decided = verdicts.requests.iter().zip(set_aside);
        for (job, (verdict, holds)) in jobs.into_iter().zip(decided) {
            self.decide(job, &batch, *verdict, holds);
        }
    }

    fn decide(&self, job: Job, batch: &Batch, verdict: Result<(), usize>, mut holds: Vec<Hold>) {
        let ledger = &self.ledger;
        let give_back = |holds: &[Hold]| {
            let mut book = ledger.book();
            for hold in holds {
                book.settle(hold, 0);
            }
        };
        let answer = match verdict {
            Ok(()) => {
                for (hold, need) in holds.iter_mut().zip(&job.needs) {
                    hold.amount = need.amount;
                }
                Ok(holds)
            }
            Err(place) => {
                give_back(&holds);
                let key = &batch.lines[place].key;
                let need = job.needs.iter().position(|need| need.key == *key);
                let now = ledger.clock.now().unwrap_or_default();
                Err(spent(need.unwrap_or_default(), ledger.standing(key), now))
            }
        };
        if let Err(Ok(holds)) = job.reply.send(answer) {
            give_back(&holds);
        }
    }

    /// `None` when this process has been taken for dead.
    async fn write(&mut self, batch: &Batch) -> Result<Option<Verdicts>, StoreError> {
        let process = self.registered().await?;
        let store = &self.ledger.store;
        store
            .bounded(async {
                let mut transaction = store.begin().await?;
                let now = self.time(&mut transaction).await?;
                let failed = |error| store.failed(error);
                if !rows::renew(&mut transaction, &process, now)
                    .await
                    .map_err(failed)?
                {
                    return Ok(None);
                }
                let names = (self.ledger.gateway.as_str(), process.as_str());
                let verdicts =
                    rows::exchange(&mut transaction, names, &batch.lines, &batch.requests)
                        .await
                        .map_err(failed)?;
                store.commit(transaction).await?;
                Ok(Some(verdicts))
            })
            .await
    }

    /// Show that this process lives, and clean up after those that do not.
    async fn beat(&mut self) -> Result<(), StoreError> {
        let process = self.registered().await?;
        let store = &self.ledger.store;
        let is_alive = store
            .bounded(async {
                let mut transaction = store.begin().await?;
                let now = self.time(&mut transaction).await?;
                let failed = |error| store.failed(error);
                let is_alive = rows::renew(&mut transaction, &process, now)
                    .await
                    .map_err(failed)?;
                store.commit(transaction).await?;
                let mut transaction = store.begin().await?;
                if !store.place().is_server()
                    || rows::may_maintain(&mut transaction).await.map_err(failed)?
                {
                    rows::maintain(&mut transaction, now)
                        .await
                        .map_err(failed)?;
                }
                store.commit(transaction).await?;
                Ok(is_alive)
            })
            .await?;
        if !is_alive {
            self.ledger.book().forgotten();
            self.process = None;
        }
        Ok(())
    }

    async fn registered(&mut self) -> Result<String, StoreError> {
        if let Some(process) = &self.process {
            return Ok(process.clone());
        }
        let process = Uuid::new_v4().to_string();
        let store = &self.ledger.store;
        store
            .bounded(async {
                let mut transaction = store.begin().await?;
                let now = self.time(&mut transaction).await?;
                rows::register(&mut transaction, &process, now)
                    .await
                    .map_err(|error| store.failed(error))?;
                store.commit(transaction).await
            })
            .await?;
        self.process = Some(process.clone());
        Ok(process)
    }

    /// The time that all processes agree on.
    async fn time(&self, connection: &mut sqlx::AnyConnection) -> Result<i64, StoreError> {
        let ledger = &self.ledger;
        let now = if ledger.store.place().is_server() {
            ledger.store.time(connection).await?
        } else {
            jiff::Timestamp::now().as_millisecond() + ledger.skew_ms
        };
        ledger.clock.set(now);
        Ok(now)
    }

    fn note(&mut self, outcome: Result<(), StoreError>) {
        let fault = &self.ledger.fault;
        match outcome {
            Ok(()) => {
                self.failed_at = None;
                if fault.swap(None).is_some() {
                    tracing::info!("limits are counted again");
                }
            }
            Err(error) => {
                self.failed_at = Some(Instant::now());
                let told = chain(&error);
                if fault.load().as_deref() != Some(&told) {
                    tracing::error!(error = told, "limits cannot be counted");
                }
                fault.store(Some(Arc::new(told)));
            }
        }
    }

    async fn end(&mut self) {
        self.ledger.book().close();
        self.exchange(Vec::new()).await;
        let Some(process) = self.process.take() else {
            return;
        };
        let store = &self.ledger.store;
        let retired = store
            .bounded(async {
                let mut transaction = store.begin().await?;
                rows::retire(&mut transaction, &process)
                    .await
                    .map_err(|error| store.failed(error))?;
                store.commit(transaction).await
            })
            .await;
        if let Err(error) = retired {
            tracing::warn!(
                error = chain(&error),
                "what was held is lost until it runs out"
            );
        }
    }
}

fn refuse(jobs: Vec<Job>) {
    for job in jobs {
        // Whoever left needs no answer.
        let _ = job.reply.send(Err(Denial::Unavailable));
    }
}

/// Everything that the database should hear of, and what is wanted beyond what was set aside.
fn batch(book: &mut Book, jobs: &[Job], set_aside: &[Vec<Hold>]) -> Batch {
    let keys: Vec<BudgetKey> = jobs
        .iter()
        .flat_map(|job| job.needs.iter().map(|need| need.key.clone()))
        .collect();
    let lines = book.lines(&keys, !jobs.is_empty());
    let requests = jobs
        .iter()
        .zip(set_aside)
        .map(|(job, holds)| {
            let wants = job.needs.iter().zip(holds);
            wants
                .filter_map(|(need, hold)| {
                    let place = lines.iter().position(|line| line.key == need.key)?;
                    Some((place, need.amount - hold.amount))
                })
                .collect()
        })
        .collect();
    Batch { lines, requests }
}
