//! Limits and messages over real databases: SQLite in a folder, and a PostgreSQL server that each test starts.

#![expect(clippy::panic, reason = "tests end by panicking")]

mod databases;
mod failures;
mod gateway;
mod kills_in_flight;
mod ledger;
mod mailbox;
mod postgres;
mod processes;
mod property;
mod telegram;
