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

/// `key_id` names the key that opens `content`. A place is a chat, or a topic within one.
const CONVERSATIONS: &str = "
CREATE TABLE conversation (
    gateway TEXT NOT NULL,
    bot TEXT NOT NULL,
    place TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (gateway, bot, place)
);
CREATE INDEX conversation_used_at ON conversation (used_at);
CREATE INDEX conversation_key_id ON conversation (gateway, key_id);
CREATE TABLE channel_process (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE TABLE channel_message (
    gateway TEXT NOT NULL,
    bot TEXT NOT NULL,
    id BIGINT NOT NULL,
    stage TEXT NOT NULL,
    arrived_at BIGINT NOT NULL,
    owner TEXT NOT NULL,
    tries BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (gateway, bot, id)
);
CREATE INDEX channel_message_stage ON channel_message (gateway, bot, stage);
CREATE INDEX channel_message_arrived_at ON channel_message (arrived_at);
CREATE INDEX channel_message_key_id ON channel_message (gateway, key_id);
";

pub(super) fn migrator() -> Migrator {
    let migrations = [(1, "limits", LIMITS), (2, "conversations", CONVERSATIONS)];
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
