//! The tables, in the words that both databases understand. A migration that was released never changes.

use std::borrow::Cow;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Times are milliseconds since 1970. `used` and `lost` are of processes that are gone; `spent` is what a process has
/// given to requests, `held` what it may still give.
const LIMITS: &str = "
CREATE TABLE limit_process (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE TABLE limit_window (
    budget TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    used BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    PRIMARY KEY (budget, starts_at)
);
CREATE INDEX limit_window_ends_at ON limit_window (ends_at);
CREATE TABLE limit_lease (
    budget TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    process TEXT NOT NULL,
    ends_at BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    held BIGINT NOT NULL,
    PRIMARY KEY (budget, starts_at, process)
);
CREATE INDEX limit_lease_process ON limit_lease (process);
CREATE INDEX limit_lease_ends_at ON limit_lease (ends_at);
";

pub(super) fn migrator() -> Migrator {
    let migrations = [(1, "limits", LIMITS)];
    Migrator::with_migrations(
        migrations
            .into_iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    version,
                    Cow::Borrowed(name),
                    MigrationType::Simple,
                    SqlStr::from_static(sql),
                    false,
                )
            })
            .collect(),
    )
}
