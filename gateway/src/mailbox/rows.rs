//! The rows of messages, and how they are changed. The words are those of SQLite and PostgreSQL alike.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::store::Sealed;

/// Milliseconds after which a process that says nothing is taken for dead.
const LEASE_MS: i64 = 20_000;
/// Telegram offers an update for 24 hours, so its id is remembered for longer.
const REMEMBERED_MS: i64 = 25 * 3_600_000;
/// A message that nobody could answer for so long is of no use any more.
const KEPT_MS: i64 = 48 * 3_600_000;
/// Messages that may have been left behind, looked at together.
const LEFT_AT_ONCE: i64 = 512;

/// Gateway, bot and id.
pub(super) type Row<'a> = (&'a str, &'a str, i64);

/// How far a message that is not done is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Received,
    Answered,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Answered => "answered",
        }
    }

    /// By its name.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Received, Self::Answered]
            .into_iter()
            .find(|stage| stage.name() == name)
    }

    /// What its content belongs to: what came in is no answer.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Received => "channel_message.content received",
            Self::Answered => "channel_message.content answered",
        }
    }
}

/// A message of a process that is gone.
pub(super) struct Left {
    pub(super) id: i64,
    pub(super) stage: Stage,
    pub(super) owner: String,
    pub(super) tries: i64,
    pub(super) sent: i64,
}

/// Show that a process lives.
pub(super) async fn live(
    connection: &mut AnyConnection,
    process: &str,
    now: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO channel_process (id, expires_at) VALUES ($1, $2) \
         ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(process)
    .bind(now + LEASE_MS)
    .execute(connection)
    .await
    .map(drop)
}

/// A process ends.
pub(super) async fn leave(connection: &mut AnyConnection, process: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM channel_process WHERE id = $1")
        .bind(process)
        .execute(connection)
        .await
        .map(drop)
}

/// Keep a message; false when it is there already.
pub(super) async fn receive(
    connection: &mut AnyConnection,
    (gateway, bot, id): Row<'_>,
    process: &str,
    sealed: &Sealed,
    now: i64,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO channel_message (gateway, bot, id, stage, arrived_at, owner, tries, sent, key_id, content) \
         VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $8) ON CONFLICT (gateway, bot, id) DO NOTHING",
    )
    .bind(gateway)
    .bind(bot)
    .bind(id)
    .bind(Stage::Received.name())
    .bind(now)
    .bind(process)
    .bind(&sealed.key)
    .bind(&sealed.content)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Keep an answer; false when the message is not this process's, or has one.
pub(super) async fn answer(
    connection: &mut AnyConnection,
    (gateway, bot, id): Row<'_>,
    process: &str,
    sealed: &Sealed,
) -> sqlx::Result<bool> {
    let updated = sqlx::query(
        "UPDATE channel_message SET stage = $1, sent = 0, key_id = $2, content = $3 \
         WHERE gateway = $4 AND bot = $5 AND id = $6 AND owner = $7 AND stage = $8",
    )
    .bind(Stage::Answered.name())
    .bind(&sealed.key)
    .bind(&sealed.content)
    .bind(gateway)
    .bind(bot)
    .bind(id)
    .bind(process)
    .bind(Stage::Received.name())
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// So many pieces of the answer were sent; false when the message is not this process's.
pub(super) async fn sent(
    connection: &mut AnyConnection,
    row: Row<'_>,
    process: &str,
    pieces: i64,
) -> sqlx::Result<bool> {
    let statement = "UPDATE channel_message SET sent = $1 \
         WHERE gateway = $2 AND bot = $3 AND id = $4 AND owner = $5";
    count(connection, statement, pieces, row, process).await
}

/// Count so many tries more; false when the message is not this process's.
pub(super) async fn tried(
    connection: &mut AnyConnection,
    row: Row<'_>,
    process: &str,
    more: i64,
) -> sqlx::Result<bool> {
    let statement = "UPDATE channel_message SET tries = tries + $1 \
         WHERE gateway = $2 AND bot = $3 AND id = $4 AND owner = $5";
    count(connection, statement, more, row, process).await
}

/// Change a number of a message that is a process's; whether it was.
async fn count(
    connection: &mut AnyConnection,
    statement: &'static str,
    number: i64,
    (gateway, bot, id): Row<'_>,
    process: &str,
) -> sqlx::Result<bool> {
    let updated = sqlx::query(statement)
        .bind(number)
        .bind(gateway)
        .bind(bot)
        .bind(id)
        .bind(process)
        .execute(connection)
        .await?;
    Ok(updated.rows_affected() == 1)
}

/// Whether a message is kept, or was.
pub(super) async fn is_kept(
    connection: &mut AnyConnection,
    (gateway, bot, id): Row<'_>,
) -> sqlx::Result<bool> {
    let found =
        sqlx::query("SELECT 1 FROM channel_message WHERE gateway = $1 AND bot = $2 AND id = $3")
            .bind(gateway)
            .bind(bot)
            .bind(id)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// Keep the id alone.
pub(super) async fn done(
    connection: &mut AnyConnection,
    (gateway, bot, id): Row<'_>,
    owner: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE channel_message SET stage = 'done', key_id = '', content = '' \
         WHERE gateway = $1 AND bot = $2 AND id = $3 AND owner = $4",
    )
    .bind(gateway)
    .bind(bot)
    .bind(id)
    .bind(owner)
    .execute(connection)
    .await
    .map(drop)
}

/// Messages of this process, or of none that lives, that this key opens, oldest first.
pub(super) async fn left(
    connection: &mut AnyConnection,
    (gateway, bot, process): (&str, &str, &str),
    key: &str,
    now: i64,
) -> sqlx::Result<Vec<Left>> {
    let rows = sqlx::query(
        "SELECT id, stage, owner, tries, sent FROM channel_message \
         WHERE gateway = $1 AND bot = $2 AND stage IN ('received', 'answered') AND key_id = $3 AND (owner = $4 \
         OR owner NOT IN (SELECT id FROM channel_process WHERE expires_at >= $5)) ORDER BY id LIMIT $6",
    )
    .bind(gateway)
    .bind(bot)
    .bind(key)
    .bind(process)
    .bind(now)
    .bind(LEFT_AT_ONCE)
    .fetch_all(connection)
    .await?;
    let mut left = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(stage) = Stage::of(&row.try_get::<String, _>(1)?) else {
            continue;
        };
        left.push(Left {
            id: row.try_get(0)?,
            stage,
            owner: row.try_get(2)?,
            tries: row.try_get(3)?,
            sent: row.try_get(4)?,
        });
    }
    Ok(left)
}

/// Make a message another process's, and read it; nothing when somebody else was faster.
pub(super) async fn take(
    connection: &mut AnyConnection,
    (gateway, bot, id): Row<'_>,
    (from, to): (&str, &str),
    stage: Stage,
) -> sqlx::Result<Option<Sealed>> {
    let taken = sqlx::query(
        "UPDATE channel_message SET owner = $1 \
         WHERE gateway = $2 AND bot = $3 AND id = $4 AND owner = $5 AND stage = $6 RETURNING key_id, content",
    )
    .bind(to)
    .bind(gateway)
    .bind(bot)
    .bind(id)
    .bind(from)
    .bind(stage.name())
    .fetch_optional(connection)
    .await?;
    taken.as_ref().map(sealed).transpose()
}

/// Key and value, the first two columns.
pub(super) fn sealed(row: &AnyRow) -> sqlx::Result<Sealed> {
    Ok(Sealed {
        key: row.try_get(0)?,
        content: row.try_get(1)?,
    })
}

/// Drop what is long over, of every gateway.
pub(super) async fn clean(connection: &mut AnyConnection, now: i64, idle: i64) -> sqlx::Result<()> {
    for (statement, before) in [
        (
            "DELETE FROM channel_message WHERE arrived_at < $1 AND stage = 'done'",
            now - REMEMBERED_MS,
        ),
        (
            "DELETE FROM channel_message WHERE arrived_at < $1",
            now - KEPT_MS,
        ),
        ("DELETE FROM conversation WHERE used_at < $1", now - idle),
        (
            "DELETE FROM channel_process WHERE expires_at < $1",
            now - REMEMBERED_MS,
        ),
    ] {
        sqlx::query(statement)
            .bind(before)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
