//! The database in which the gateway remembers: a file of SQLite in the state directory, or PostgreSQL.
//!
//! One schema and one set of statements for both. It decides how the database is opened, how long it may take, and
//! that after a failure everything is opened anew; what is remembered is the business of its users.

mod key_file;
mod place;
mod schema;
mod seal;

use std::future::Future;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_drivers};
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, Row as _, Transaction};
use tokio::sync::Mutex;

pub use key_file::{KeyFile, KeyFileError};
pub use place::Place;
pub use seal::{Cell, KeyError, OpenError, SealError, Sealed, Vault};

/// A database that takes longer is as good as lost.
const PATIENCE: Duration = Duration::from_secs(3);
/// Within it, since a pool tries to connect again and again.
const CONNECTING: Duration = Duration::from_secs(2);
/// One at a time brings tables up to date: two of them would both make what is missing, and SQLite knows no lock for it.
static OPENING: Mutex<()> = Mutex::const_new(());

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It refuses, or cannot be reached.
    #[error("{place} cannot be used")]
    Failed {
        /// Which one, without its password.
        place: String,
        /// What it said.
        source: sqlx::Error,
    },
    /// Its tables cannot be made, or were made by a newer version of the program.
    #[error("the tables in {place} cannot be brought up to date")]
    Migration {
        /// Which one, without its password.
        place: String,
        /// What it said.
        source: sqlx::migrate::MigrateError,
    },
    /// The folder of the file cannot be made.
    #[error("{place} cannot be used")]
    Folder {
        /// Which file.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It says nothing.
    #[error("{place} did not answer within {} seconds", PATIENCE.as_secs())]
    TimedOut {
        /// Which one, without its password.
        place: String,
    },
}

/// A database, opened when it is first used.
#[derive(Debug)]
pub struct Store {
    place: Place,
    pool: Mutex<Option<AnyPool>>,
}

impl Store {
    /// The database at `place`. Nothing is opened yet.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            pool: Mutex::new(None),
        }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Begin to write; nothing is kept without a commit.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let pool = self.pool().await?;
        let begun = match &self.place {
            // A transaction that began by reading could not go on to write beside another one.
            Place::Sqlite(_) => pool.begin_with("BEGIN IMMEDIATE").await,
            Place::Postgres(_) => pool.begin().await,
        };
        begun.map_err(|error| self.failed(error))
    }

    /// Keep what was written.
    pub async fn commit(&self, transaction: Transaction<'static, Any>) -> Result<(), StoreError> {
        transaction
            .commit()
            .await
            .map_err(|error| self.failed(error))
    }

    /// The time in milliseconds that all users of the database agree on.
    pub async fn time(&self, connection: &mut AnyConnection) -> Result<i64, StoreError> {
        match &self.place {
            Place::Sqlite(_) => Ok(jiff::Timestamp::now().as_millisecond()),
            Place::Postgres(_) => server_time(connection)
                .await
                .map_err(|error| self.failed(error)),
        }
    }

    /// What the database said, with its name.
    pub fn failed(&self, source: sqlx::Error) -> StoreError {
        StoreError::Failed {
            place: self.place.to_string(),
            source,
        }
    }

    /// Do `work` in bounded time. After a failure the next one begins with new connections: an old one may be stuck,
    /// or hold a file that is no longer there.
    pub async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let outcome = tokio::time::timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| {
                Err(StoreError::TimedOut {
                    place: self.place.to_string(),
                })
            });
        if outcome.is_err() {
            *self.pool.lock().await = None;
        }
        outcome
    }

    async fn pool(&self) -> Result<AnyPool, StoreError> {
        let mut pool = self.pool.lock().await;
        if let Some(pool) = &*pool {
            return Ok(pool.clone());
        }
        let opened = self.open().await?;
        Ok(pool.insert(opened).clone())
    }

    async fn open(&self) -> Result<AnyPool, StoreError> {
        // Err means that they are installed.
        let _ = install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER]);
        self.place.prepare().map_err(|source| StoreError::Folder {
            place: self.place.to_string(),
            source,
        })?;
        let settings = self.place.settings();
        let pool = AnyPoolOptions::new()
            .max_connections(self.place.connections())
            .acquire_timeout(CONNECTING)
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(settings).await.map(drop) })
            })
            .connect(&self.place.url())
            .await
            .map_err(|error| self.failed(error))?;
        let _alone = OPENING.lock().await;
        schema::migrator()
            .run(&pool)
            .await
            .map_err(|source| StoreError::Migration {
                place: self.place.to_string(),
                source,
            })?;
        Ok(pool)
    }
}

/// The server's time in milliseconds.
async fn server_time(connection: &mut AnyConnection) -> sqlx::Result<i64> {
    sqlx::query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")
        .fetch_one(connection)
        .await?
        .try_get(0)
}
