//! The rows of conversations, and how they are changed. The words are those of SQLite and PostgreSQL alike.

use sqlx::AnyConnection;

use super::rows::sealed;
use crate::store::Sealed;

/// Gateway, bot and place.
pub(super) type Key<'a> = (&'a str, &'a str, &'a str);

/// What was said, unless that is longer ago than `since`.
pub(super) async fn read(
    connection: &mut AnyConnection,
    (gateway, bot, place): Key<'_>,
    since: i64,
) -> sqlx::Result<Option<Sealed>> {
    let row = sqlx::query(
        "SELECT key_id, content FROM conversation \
         WHERE gateway = $1 AND bot = $2 AND place = $3 AND used_at >= $4 AND key_id <> ''",
    )
    .bind(gateway)
    .bind(bot)
    .bind(place)
    .bind(since)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(sealed).transpose()
}

/// The same, for this transaction alone; the row is made if there is none, and is used now.
pub(super) async fn lock(
    connection: &mut AnyConnection,
    key: Key<'_>,
    now: i64,
    idle: i64,
) -> sqlx::Result<Option<Sealed>> {
    let (gateway, bot, place) = key;
    // Makes the row, or changes nothing and locks it.
    sqlx::query(
        "INSERT INTO conversation (gateway, bot, place, used_at, key_id, content) VALUES ($1, $2, $3, $4, '', '') \
         ON CONFLICT (gateway, bot, place) DO UPDATE SET used_at = conversation.used_at",
    )
    .bind(gateway)
    .bind(bot)
    .bind(place)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    let value = read(connection, key, now - idle).await?;
    sqlx::query(
        "UPDATE conversation SET used_at = $1 WHERE gateway = $2 AND bot = $3 AND place = $4",
    )
    .bind(now)
    .bind(gateway)
    .bind(bot)
    .bind(place)
    .execute(connection)
    .await?;
    Ok(value)
}

/// Write what was said into a row that is locked.
pub(super) async fn write(
    connection: &mut AnyConnection,
    (gateway, bot, place): Key<'_>,
    value: &Sealed,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE conversation SET key_id = $1, content = $2 WHERE gateway = $3 AND bot = $4 AND place = $5",
    )
    .bind(&value.key)
    .bind(&value.content)
    .bind(gateway)
    .bind(bot)
    .bind(place)
    .execute(connection)
    .await
    .map(drop)
}

/// Forget what was said.
pub(super) async fn forget(
    connection: &mut AnyConnection,
    (gateway, bot, place): Key<'_>,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM conversation WHERE gateway = $1 AND bot = $2 AND place = $3")
        .bind(gateway)
        .bind(bot)
        .bind(place)
        .execute(connection)
        .await
        .map(drop)
}
