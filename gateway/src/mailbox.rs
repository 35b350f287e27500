//! Messages of chat platforms and what was said before, in the database: what was taken in is answered, once, whatever
//! happens to the process.
//!
//! A message is there before its platform is told that it arrived (received), its answer is there together with the
//! changed conversation before a word of it is sent (answered), and only its id stays once all was sent (done). Each
//! message belongs to one process; those of a process that is gone are taken over. What people write is encrypted.

mod claim;
mod counters;
mod keeper;
mod keys;
mod post_office;
mod renewal;
mod rows;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::chain;
use crate::conversation::{History, HistoryLimits};
use crate::store::{Cell, KeyError, KeyFileError, NoRandomness, Sealed, Sealer, Store, StoreError};
pub use claim::Claim;
pub use counters::{Counters, KeyLabels};
use keeper::Keeper;
pub use keys::Keys;
pub use post_office::{Mail, PostOffice};
use rows::{Row, Stage};

/// After a failure, messages are refused at once for so long rather than each after waiting.
const PAUSE: Duration = Duration::from_secs(1);
/// A conversation in which nothing was said for so many milliseconds is forgotten.
const IDLE_MS: i64 = 24 * 3_600_000;
/// Begun so often without an end, a message is given up: it may be what ends the process.
const MOST_TRIES: i64 = 3;

/// Where the content of a conversation is.
const CONVERSATION: &str = "conversation.content";

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// The database cannot be used.
    #[error("messages of channels cannot be kept")]
    Store(#[from] StoreError),
    /// The key file cannot be used.
    #[error("messages of channels cannot be encrypted")]
    KeyFile(#[from] KeyFileError),
    /// The keys cannot be used.
    #[error("messages of channels cannot be encrypted")]
    Key(#[from] KeyError),
    /// No nonce.
    #[error("messages of channels cannot be encrypted")]
    Random(#[from] NoRandomness),
    /// It failed a moment ago.
    #[error("messages of channels could not be kept a moment ago")]
    Paused,
}

/// A message: its bot, and its id there.
#[derive(Clone, Copy)]
struct Id<'a> {
    bot: &'a str,
    number: i64,
}

/// What an answer does to its conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// Everything is forgotten.
    Forget,
    /// An exchange is added.
    Record {
        /// So many of the oldest are forgotten, for they did not fit into the model.
        forgotten: usize,
        /// What was asked.
        question: String,
        /// What was answered.
        answer: String,
    },
}

/// How far a message came that was left behind.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was taken in, as it came.
    Received(Zeroizing<Vec<u8>>),
    /// It has an answer, of which so many pieces were sent.
    Answered(Zeroizing<Vec<u8>>, usize),
}

/// Messages and conversations of one gateway in one database.
pub struct Mailbox {
    /// The gateway, since several may share a database.
    gateway: String,
    store: Store,
    keys: Mutex<Keys>,
    /// Made of the keys when it is first needed.
    sealer: ArcSwapOption<Sealer>,
    /// The name of this process in the database.
    process: String,
    counters: Counters,
    fault: ArcSwapOption<String>,
    failed_at: Mutex<Option<Instant>>,
    /// What this process works on, by bot and number; what is in the database and not here was left behind.
    active: Mutex<HashSet<(String, i64)>>,
    rekeyed: Notify,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Mailbox {
    /// Keep the messages of `gateway` in `store`. Needs a runtime.
    pub fn start(
        gateway: impl Into<String>,
        store: Store,
        keys: Keys,
        counters: Counters,
    ) -> Arc<Self> {
        let mailbox = Arc::new(Self {
            gateway: gateway.into(),
            store,
            keys: Mutex::new(keys),
            sealer: ArcSwapOption::empty(),
            process: Uuid::new_v4().to_string(),
            counters,
            fault: ArcSwapOption::empty(),
            failed_at: Mutex::default(),
            active: Mutex::default(),
            rekeyed: Notify::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let keeper = Keeper::new(Arc::clone(&mailbox));
        mailbox.tasks.spawn(keeper.run());
        mailbox
    }

    /// Use other keys from now on.
    pub fn rekey(&self, keys: Keys) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        self.sealer.store(None);
        self.rekeyed.notify_one();
    }

    /// Where everything is kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What keeps it from being used.
    pub fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    /// End; what is not done may be taken over by others at once.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let store = &self.store;
        let left = self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            rows::leave(&mut transaction, &self.process)
                .await
                .map_err(|error| store.failed(error))?;
            store.commit(transaction).await?;
            Ok(())
        }));
        // It is logged, and others notice in time.
        let _ = left.await;
    }

    /// Take a message in; nothing when it came before. Whoever has the claim works on it.
    pub async fn receive(
        self: &Arc<Self>,
        bot: &str,
        number: i64,
        content: &[u8],
    ) -> Result<Option<Claim>, MailboxError> {
        if self.failed_a_moment_ago() {
            return Err(MailboxError::Paused);
        }
        // Before it is in the database, lest it looks as if it was left behind.
        let Some(claim) = Claim::new(self, bot, number) else {
            return Ok(None);
        };
        let sealer = self.sealer().await?;
        let id = Id { bot, number };
        let sealed = self.seal(&sealer, id, Stage::Received, content)?;
        let store = &self.store;
        let is_new = self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            let now = store.time(&mut transaction).await?;
            let failed = |error| store.failed(error);
            rows::live(&mut transaction, &self.process, now)
                .await
                .map_err(failed)?;
            let row = self.row(id);
            let is_new = rows::receive(&mut transaction, row, &self.process, &sealed, now)
                .await
                .map_err(failed)?;
            store.commit(transaction).await?;
            Ok(is_new)
        }));
        Ok(is_new.await?.then_some(claim))
    }

    /// What was said before.
    pub async fn history(
        &self,
        bot: &str,
        place: &str,
        limits: HistoryLimits,
    ) -> Result<History, MailboxError> {
        let sealer = self.sealer().await?;
        let store = &self.store;
        let sealed = self
            .noted(store.bounded(async {
                let mut transaction = store.begin().await?;
                let now = store.time(&mut transaction).await?;
                let key = (self.gateway.as_str(), bot, place);
                let sealed = rows::conversation(&mut transaction, key, now - IDLE_MS)
                    .await
                    .map_err(|error| store.failed(error))?;
                store.commit(transaction).await?;
                Ok(sealed)
            }))
            .await?;
        Ok(self.open_history(&sealer, (bot, place), sealed, limits))
    }

    /// Keep an answer, and what it does to its conversation, together. False when the message is not ours any more.
    async fn answer(
        &self,
        id: Id<'_>,
        (place, limits): (&str, HistoryLimits),
        change: &Change,
        outbox: &[u8],
    ) -> Result<bool, MailboxError> {
        let sealer = self.sealer().await?;
        let sealed = self.seal(&sealer, id, Stage::Answered, outbox)?;
        let store = &self.store;
        let written = self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            let now = store.time(&mut transaction).await?;
            let failed = |error| store.failed(error);
            let row = self.row(id);
            let is_ours = rows::answer(&mut transaction, row, &self.process, &sealed)
                .await
                .map_err(failed)?;
            if !is_ours {
                return Ok(Ok(false));
            }
            let key = (self.gateway.as_str(), id.bot, place);
            match change {
                Change::Keep => {}
                Change::Forget => rows::forget(&mut transaction, key).await.map_err(failed)?,
                Change::Record {
                    forgotten,
                    question,
                    answer,
                } => {
                    let before = rows::lock_conversation(&mut transaction, key, now, IDLE_MS)
                        .await
                        .map_err(failed)?;
                    let mut history = self.open_history(&sealer, (id.bot, place), before, limits);
                    history.forget_oldest(*forgotten);
                    history.record(question.clone(), answer.clone());
                    let json = Zeroizing::new(history.to_json());
                    let cell = Cell {
                        column: CONVERSATION,
                        row: &[key.0, key.1, key.2],
                    };
                    let sealed = match sealer.seal(cell, &json) {
                        Ok(sealed) => sealed,
                        Err(error) => return Ok(Err(error)),
                    };
                    rows::write_conversation(&mut transaction, key, &sealed)
                        .await
                        .map_err(failed)?;
                }
            }
            store.commit(transaction).await?;
            Ok(Ok(true))
        }));
        Ok(written.await??)
    }

    /// Take over at most `most` messages that nobody works on, oldest first.
    pub async fn take_over(
        self: &Arc<Self>,
        bot: &str,
        most: usize,
    ) -> Result<Vec<(Claim, Progress)>, MailboxError> {
        let sealer = self.sealer().await?;
        let store = &self.store;
        self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            let now = store.time(&mut transaction).await?;
            let failed = |error| store.failed(error);
            rows::live(&mut transaction, &self.process, now)
                .await
                .map_err(failed)?;
            let mut left = Vec::new();
            // What no key opens waits for its key.
            for key in sealer.names() {
                let whose = (self.gateway.as_str(), bot, self.process.as_str());
                let found = rows::left(&mut transaction, whose, key, now).await;
                left.extend(found.map_err(failed)?);
            }
            left.sort_by_key(|row| row.id);
            let mut taken = Vec::new();
            for row in left {
                if taken.len() == most {
                    break;
                }
                // None where this process works on it.
                let Some(claim) = Claim::new(self, bot, row.id) else {
                    continue;
                };
                let progress = self
                    .take(&mut transaction, &sealer, claim.id(), &row)
                    .await
                    .map_err(failed)?;
                taken.extend(progress.map(|progress| (claim, progress)));
            }
            store.commit(transaction).await?;
            Ok(taken)
        }))
        .await
    }

    async fn take(
        &self,
        connection: &mut sqlx::AnyConnection,
        sealer: &Sealer,
        id: Id<'_>,
        row: &rows::Left,
    ) -> sqlx::Result<Option<Progress>> {
        let key = self.row(id);
        let change = (row.owner.as_str(), self.process.as_str());
        let Some(sealed) = rows::take(connection, key, change, row.stage).await? else {
            return Ok(None);
        };
        let progress = self.open_message(sealer, id, row, &sealed);
        if let Some(progress) = progress.filter(|_| row.tries < MOST_TRIES) {
            return Ok(Some(progress));
        }
        tracing::error!(
            channel.bot = id.bot,
            message = id.number,
            tries = row.tries,
            "a message is given up: it does not open, or nobody who worked on it came to an end"
        );
        rows::done(connection, key, &self.process).await?;
        Ok(None)
    }

    async fn update(
        &self,
        work: impl AsyncFnOnce(&mut sqlx::AnyConnection) -> sqlx::Result<()>,
    ) -> Result<(), MailboxError> {
        let store = &self.store;
        self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            work(&mut transaction)
                .await
                .map_err(|error| store.failed(error))?;
            store.commit(transaction).await
        }))
        .await
    }

    fn open_message(
        &self,
        sealer: &Sealer,
        id: Id<'_>,
        row: &rows::Left,
        sealed: &Sealed,
    ) -> Option<Progress> {
        let number = id.number.to_string();
        let cell = (row.stage.column(), &[id.bot, number.as_str()]);
        let opened = self.open(sealer, cell, sealed, "a message")?;
        Some(match row.stage {
            Stage::Received => Progress::Received(opened),
            Stage::Answered => {
                Progress::Answered(opened, usize::try_from(row.sent).unwrap_or_default())
            }
        })
    }

    fn open_history(
        &self,
        sealer: &Sealer,
        (bot, place): (&str, &str),
        sealed: Option<Sealed>,
        limits: HistoryLimits,
    ) -> History {
        let opened = sealed.and_then(|sealed| {
            let cell = (CONVERSATION, &[bot, place]);
            self.open(sealer, cell, &sealed, "a conversation")
        });
        opened
            .and_then(|json| History::from_json(&json, limits).ok())
            .unwrap_or_else(|| History::new(limits))
    }

    /// What does not open is told by its place and counted, and then as good as absent.
    fn open(
        &self,
        sealer: &Sealer,
        (column, row): (&'static str, &[&str; 2]),
        sealed: &Sealed,
        what: &'static str,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let [bot, name] = row;
        let row = [self.gateway.as_str(), bot, name];
        let cell = Cell { column, row: &row };
        match sealer.open(cell, sealed) {
            Ok(opened) => Some(opened),
            Err(error) => {
                self.counters.unreadable.inc();
                tracing::warn!(
                    channel.bot = bot,
                    place = name,
                    key = sealed.key,
                    %error,
                    "{what} in the database cannot be read; see spec.state.encryption.keys"
                );
                None
            }
        }
    }

    fn seal(
        &self,
        sealer: &Sealer,
        id: Id<'_>,
        stage: Stage,
        content: &[u8],
    ) -> Result<Sealed, NoRandomness> {
        let number = id.number.to_string();
        let row = [self.gateway.as_str(), id.bot, number.as_str()];
        let column = stage.column();
        sealer.seal(Cell { column, row: &row }, content)
    }

    fn row<'a>(&'a self, id: Id<'a>) -> Row<'a> {
        (&self.gateway, id.bot, id.number)
    }

    /// The keys as they are now. A key file that cannot be read is tried again the next time.
    async fn sealer(&self) -> Result<Arc<Sealer>, MailboxError> {
        if let Some(sealer) = self.sealer.load_full() {
            return Ok(sealer);
        }
        let keys = {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.clone()
        };
        let made = tokio::task::spawn_blocking(move || keys.sealer());
        let made = made
            .await
            .unwrap_or_else(|error| Err(KeyFileError::other(std::io::Error::other(error)).into()));
        let sealer = self.noted(std::future::ready(made)).await?;
        self.sealer.store(Some(Arc::clone(&sealer)));
        Ok(sealer)
    }

    fn failed_a_moment_ago(&self) -> bool {
        self.failed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|at| at.elapsed() < PAUSE)
    }

    /// Remember whether it works.
    async fn noted<T, E: Into<MailboxError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, MailboxError> {
        let outcome = work.await.map_err(Into::into);
        let mut failed_at = self
            .failed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(_) => {
                *failed_at = None;
                if self.fault.swap(None).is_some() {
                    tracing::info!("messages of channels are kept again");
                }
            }
            Err(error) => {
                *failed_at = Some(Instant::now());
                let told = chain(error);
                if self.fault.load().as_deref() != Some(&told) {
                    tracing::error!(error = told, "messages of channels cannot be kept");
                }
                self.fault.store(Some(Arc::new(told)));
            }
        }
        outcome
    }
}
