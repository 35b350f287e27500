//! Messages of chat platforms and what was said before, in the database: what was taken in is answered, once, whatever
//! happens to the process.
//!
//! A message is there before its platform is told that it arrived (received), its answer is there together with the
//! changed conversation before a word of it is sent (answered), and only its id stays once all was sent (done). Each
//! message belongs to one process; those of a process that is gone are taken over. What people write is encrypted.

mod answers;
mod claim;
mod contents;
mod conversation_rows;
mod counters;
mod intake;
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

use crate::config::chain;
use crate::store::{KeyError, KeyFileError, SealError, Store, StoreError, Vault};
pub use answers::Change;
pub use claim::Claim;
pub use counters::{Counters, KeyLabels};
pub use intake::Progress;
use keeper::Keeper;
pub use keys::Keys;
pub use post_office::{Mail, PostOffice};

/// After a failure, messages are refused at once for so long rather than each after waiting.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// A value cannot be sealed.
    #[error("messages of channels cannot be encrypted")]
    Seal(#[from] SealError),
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

/// Messages and conversations of one gateway in one database.
pub struct Mailbox {
    /// The gateway, since several may share a database.
    gateway: String,
    store: Store,
    keys: Mutex<Arc<Keys>>,
    /// Made of the keys when it is first needed.
    vault: ArcSwapOption<Vault>,
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
            keys: Mutex::new(Arc::new(keys)),
            vault: ArcSwapOption::empty(),
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
        let mut used = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        *used = Arc::new(keys);
        self.vault.store(None);
        drop(used);
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
        let left = self.update(async |connection| rows::leave(connection, &self.process).await);
        // It is logged, and others notice in time.
        let _ = left.await;
    }

    /// Comes to its end when nothing is kept here any more: the configuration names another place, or we shut down.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    async fn update<T>(
        &self,
        work: impl AsyncFnOnce(&mut sqlx::AnyConnection) -> sqlx::Result<T>,
    ) -> Result<T, MailboxError> {
        let store = &self.store;
        self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            let done = work(&mut transaction)
                .await
                .map_err(|error| store.failed(error))?;
            store.commit(transaction).await?;
            Ok(done)
        }))
        .await
    }

    /// The same at the database's time, by a process that shows that it lives.
    async fn update_alive<T>(
        &self,
        work: impl AsyncFnOnce(&mut sqlx::AnyConnection, i64) -> sqlx::Result<T>,
    ) -> Result<T, MailboxError> {
        let store = &self.store;
        self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            let now = store.time(&mut transaction).await?;
            let failed = |error| store.failed(error);
            rows::live(&mut transaction, &self.process, now)
                .await
                .map_err(failed)?;
            let done = work(&mut transaction, now).await.map_err(failed)?;
            store.commit(transaction).await?;
            Ok(done)
        }))
        .await
    }

    /// The keys as they are now. A key file that cannot be read is tried again the next time.
    async fn vault(&self) -> Result<Arc<Vault>, MailboxError> {
        if let Some(vault) = self.vault.load_full() {
            return Ok(vault);
        }
        let keys = {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&keys)
        };
        let made = tokio::task::spawn_blocking({
            let keys = Arc::clone(&keys);
            move || keys.vault()
        });
        let made = made
            .await
            .unwrap_or_else(|error| Err(KeyFileError::other(std::io::Error::other(error)).into()));
        let vault = self.noted(std::future::ready(made)).await?;
        let used = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&used, &keys) {
            self.vault.store(Some(Arc::clone(&vault)));
        }
        Ok(vault)
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
