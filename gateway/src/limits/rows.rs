//! What the database keeps of limits, and how it is changed. The words are those of SQLite and PostgreSQL alike.

use sqlx::{AnyConnection, Row as _};

use super::book::{Line, Verdict};

/// Nobody knows what of a lease a process that died has spent, so it counts as spent; and no more than this part of a
/// limit may be held at a time, or have been lost that way.
const AT_RISK: i64 = 100;
/// Milliseconds after which a process that says nothing is taken for dead.
const LEASE_MS: i64 = 20_000;
/// Milliseconds for which a window that is over is kept: clocks differ.
const KEPT_MS: i64 = 3_600_000;
/// Any number that nobody else uses in that database.
const MAINTENANCE_LOCK: i64 = 0x636c_6177_6c69_6d69;

/// What is wanted by a request that waits: place of the line, and how much beyond what was set aside.
pub(super) type Wanted = Vec<(usize, i64)>;

/// What the database said to a batch.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// To each line.
    pub(super) lines: Vec<Verdict>,
    /// To each request: the place of the line that has not enough.
    pub(super) requests: Vec<Result<(), usize>>,
}

/// Begin a process.
pub(super) async fn register(
    connection: &mut AnyConnection,
    process: &str,
    now: i64,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO limit_process (id, expires_at) VALUES ($1, $2)")
        .bind(process)
        .bind(now + LEASE_MS)
        .execute(connection)
        .await
        .map(drop)
}

/// Keep a process alive; false when it has been taken for dead.
pub(super) async fn renew(
    connection: &mut AnyConnection,
    process: &str,
    now: i64,
) -> sqlx::Result<bool> {
    let renewed = sqlx::query("UPDATE limit_process SET expires_at = $1 WHERE id = $2")
        .bind(now + LEASE_MS)
        .bind(process)
        .execute(connection)
        .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Tell what a process has taken, and take more: for the requests that wait, in their order, and to have some free.
pub(super) async fn exchange(
    connection: &mut AnyConnection,
    (gateway, process): (&str, &str),
    lines: &[Line],
    requests: &[Wanted],
) -> sqlx::Result<Verdicts> {
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let budget = line.key.text(gateway);
        let row = Row::lock(connection, &budget, line, process).await?;
        rows.push((budget, row));
    }
    let mut granted = vec![0; lines.len()];
    let requests = requests
        .iter()
        .map(|wanted| {
            let short = wanted.iter().find(|(place, amount)| {
                *amount > 0 && *amount > rows[*place].1.available - granted[*place]
            });
            if let Some((place, _)) = short {
                return Err(*place);
            }
            for (place, amount) in wanted {
                granted[*place] += amount;
            }
            Ok(())
        })
        .collect();
    let mut verdicts = Vec::with_capacity(lines.len());
    for ((line, (budget, row)), granted) in lines.iter().zip(&rows).zip(granted) {
        let left = row.available - granted;
        let extra = row.top_up(line, left);
        row.write(connection, budget, line, process, (granted, extra))
            .await?;
        verdicts.push(Verdict {
            before: row.before,
            granted,
            extra,
            available: left - extra,
        });
    }
    Ok(Verdicts {
        lines: verdicts,
        requests,
    })
}

/// A count as the database knows it, locked for this transaction.
struct Row {
    /// What nobody has.
    available: i64,
    /// What this process had spent, where it does not know.
    before: i64,
    /// How much this process may hold.
    most_held: i64,
}

impl Row {
    async fn lock(
        connection: &mut AnyConnection,
        budget: &str,
        line: &Line,
        process: &str,
    ) -> sqlx::Result<Self> {
        // Makes the row, or changes nothing and locks it.
        let window = sqlx::query(
            "INSERT INTO limit_window (budget, starts_at, ends_at, used, lost) VALUES ($1, $2, $3, 0, 0) \
             ON CONFLICT (budget, starts_at) DO UPDATE SET ends_at = excluded.ends_at RETURNING used, lost",
        )
        .bind(budget)
        .bind(line.window.starts_at)
        .bind(line.window.ends_at)
        .fetch_one(&mut *connection)
        .await?;
        let (used, lost): (i64, i64) = (window.try_get(0)?, window.try_get(1)?);
        let leases = sqlx::query(
            "SELECT CAST(COALESCE(SUM(CASE WHEN process = $1 THEN 0 ELSE spent + held END), 0) AS BIGINT), \
             CAST(COALESCE(SUM(CASE WHEN process = $1 THEN 0 ELSE held END), 0) AS BIGINT), \
             CAST(COALESCE(SUM(CASE WHEN process = $1 THEN spent ELSE 0 END), 0) AS BIGINT) \
             FROM limit_lease WHERE budget = $2 AND starts_at = $3",
        )
        .bind(process)
        .bind(budget)
        .bind(line.window.starts_at)
        .fetch_one(&mut *connection)
        .await?;
        let (others, others_hold): (i64, i64) = (leases.try_get(0)?, leases.try_get(1)?);
        let before: i64 = if line.is_known { 0 } else { leases.try_get(2)? };
        let at_risk = line.limit / AT_RISK - lost - others_hold;
        Ok(Self {
            available: line.limit - used - others - before - line.spent - line.held,
            before,
            // Half of what there is, so that others find some.
            most_held: (at_risk / 2).max(0),
        })
    }

    fn top_up(&self, line: &Line, left: i64) -> i64 {
        let wanted = line.target.min(self.most_held) - line.held;
        wanted.min(left / 2).max(0)
    }

    async fn write(
        &self,
        connection: &mut AnyConnection,
        budget: &str,
        line: &Line,
        process: &str,
        (granted, extra): (i64, i64),
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO limit_lease (budget, starts_at, process, ends_at, spent, held) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (budget, starts_at, process) DO UPDATE SET spent = excluded.spent, held = excluded.held",
        )
        .bind(budget)
        .bind(line.window.starts_at)
        .bind(process)
        .bind(line.window.ends_at)
        .bind(self.before + line.spent + granted)
        .bind(line.held + extra)
        .execute(connection)
        .await
        .map(drop)
    }
}

/// Whether this process is the one that cleans up, until the transaction ends. Two of them would wait for each other.
pub(super) async fn may_maintain(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    sqlx::query("SELECT pg_try_advisory_xact_lock($1)")
        .bind(MAINTENANCE_LOCK)
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// Count what dead processes held as spent, and drop what is long over.
pub(super) async fn maintain(connection: &mut AnyConnection, now: i64) -> sqlx::Result<()> {
    let dead = sqlx::query("SELECT id FROM limit_process WHERE expires_at < $1 ORDER BY id")
        .bind(now)
        .fetch_all(&mut *connection)
        .await?;
    for row in dead {
        let process: String = row.try_get(0)?;
        // It may have come back just now.
        let ended = sqlx::query("DELETE FROM limit_process WHERE id = $1 AND expires_at < $2")
            .bind(&process)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        if ended.rows_affected() == 1 {
            fold(&mut *connection, &process).await?;
        }
    }
    for statement in [
        "DELETE FROM limit_lease WHERE ends_at < $1",
        "DELETE FROM limit_window WHERE ends_at < $1",
    ] {
        sqlx::query(statement)
            .bind(now - KEPT_MS)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// End a process that has given back what it held.
pub(super) async fn retire(connection: &mut AnyConnection, process: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM limit_process WHERE id = $1")
        .bind(process)
        .execute(&mut *connection)
        .await?;
    fold(connection, process).await
}

/// Move what a process has taken to what is used.
async fn fold(connection: &mut AnyConnection, process: &str) -> sqlx::Result<()> {
    let leases = sqlx::query(
        "SELECT budget, starts_at, spent, held FROM limit_lease WHERE process = $1 ORDER BY budget, starts_at",
    )
    .bind(process)
    .fetch_all(&mut *connection)
    .await?;
    for lease in leases {
        let (budget, starts_at): (String, i64) = (lease.try_get(0)?, lease.try_get(1)?);
        let (spent, held): (i64, i64) = (lease.try_get(2)?, lease.try_get(3)?);
        sqlx::query(
            "UPDATE limit_window SET used = used + $1, lost = lost + $2 WHERE budget = $3 AND starts_at = $4",
        )
        .bind(spent + held)
        .bind(held)
        .bind(budget)
        .bind(starts_at)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query("DELETE FROM limit_lease WHERE process = $1")
        .bind(process)
        .execute(connection)
        .await
        .map(drop)
}
