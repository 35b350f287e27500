//! Values that an older key has encrypted are encrypted anew, some at a time.

use sqlx::{AnyConnection, Row as _};

use super::contents::CONVERSATION;
use super::rows::Stage;
use crate::store::{Cell, Sealed, Vault};

/// Values of one transaction.
const BATCH: i64 = 50;

/// A table with encrypted values, and its statements.
#[derive(Debug)]
pub(super) struct Table {
    /// Bot, name of the row, stage, content.
    select: &'static str,
    update: &'static str,
    count: &'static str,
}

/// All of them.
pub(super) static TABLES: &[Table] = &[
    Table {
        select: "SELECT bot, place, '' AS stage, content FROM conversation \
                 WHERE gateway = $1 AND key_id = $2 ORDER BY bot, place LIMIT $3 OFFSET $4",
        update: "UPDATE conversation SET key_id = $1, content = $2 \
                 WHERE gateway = $3 AND bot = $4 AND place = $5 AND content = $6",
        count: "SELECT key_id, CAST(COUNT(*) AS BIGINT) FROM conversation \
                WHERE gateway = $1 AND key_id <> '' GROUP BY key_id",
    },
    Table {
        select: "SELECT bot, CAST(id AS TEXT), stage, content FROM channel_message \
                 WHERE gateway = $1 AND key_id = $2 ORDER BY bot, id LIMIT $3 OFFSET $4",
        update: "UPDATE channel_message SET key_id = $1, content = $2 \
                 WHERE gateway = $3 AND bot = $4 AND id = CAST($5 AS BIGINT) AND content = $6",
        count: "SELECT key_id, CAST(COUNT(*) AS BIGINT) FROM channel_message \
                WHERE gateway = $1 AND key_id <> '' GROUP BY key_id",
    },
];

/// What became of some values.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) renewed: usize,
    /// Those that do not open stay as they are.
    pub(super) closed: usize,
    pub(super) is_last: bool,
}

/// Encrypt some values anew, after those that are known to be closed.
pub(super) async fn batch(
    connection: &mut AnyConnection,
    (table, gateway): (&Table, &str),
    vault: &Vault,
    (old, closed): (&str, usize),
) -> sqlx::Result<Batch> {
    let rows = sqlx::query(table.select)
        .bind(gateway)
        .bind(old)
        .bind(BATCH)
        .bind(i64::try_from(closed).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
    let mut batch = Batch {
        renewed: 0,
        closed: 0,
        is_last: rows.len() < usize::try_from(BATCH).unwrap_or_default(),
    };
    for row in rows {
        let (bot, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (stage, content): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let parts = [gateway, bot.as_str(), name.as_str()];
        let cell = Cell {
            column: Stage::of(&stage).map_or(CONVERSATION, Stage::column),
            row: &parts,
        };
        let sealed = Sealed {
            key: old.to_owned(),
            content,
        };
        let renewed = vault.open(cell, &sealed).ok();
        let Some(renewed) = renewed.and_then(|value| vault.seal(cell, &value).ok()) else {
            batch.closed += 1;
            continue;
        };
        // What was written meanwhile is newer.
        let updated = sqlx::query(table.update)
            .bind(&renewed.key)
            .bind(&renewed.content)
            .bind(gateway)
            .bind(&bot)
            .bind(&name)
            .bind(&sealed.content)
            .execute(&mut *connection)
            .await?;
        batch.renewed += usize::try_from(updated.rows_affected()).unwrap_or_default();
    }
    Ok(batch)
}

/// How many values each key has encrypted.
pub(super) async fn count(
    connection: &mut AnyConnection,
    (table, gateway): (&Table, &str),
) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query(table.count)
        .bind(gateway)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
