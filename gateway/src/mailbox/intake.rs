//! Messages that come in, and those that were left behind.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::rows::{self, Stage};
use super::{Claim, Id, Mailbox, MailboxError};
use crate::store::Vault;

/// Begun so often without an end, a message is given up: it may be what ends the process.
const MOST_TRIES: i64 = 3;

/// How far a message came that was left behind.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was taken in, as it came.
    Received(Zeroizing<Vec<u8>>),
    /// It has an answer, of which so many pieces were sent.
    Answered(Zeroizing<Vec<u8>>, usize),
}

impl Mailbox {
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
        let id = Id { bot, number };
        let Some(claim) = Claim::new(self, bot, number) else {
            // It came a moment ago, and may not be kept yet; then whoever sent it has to come again.
            let row = self.row(id);
            let is_kept = self
                .update(async |connection| rows::is_kept(connection, row).await)
                .await?;
            return is_kept.then_some(None).ok_or(MailboxError::Paused);
        };
        let vault = self.vault().await?;
        let sealed = self.seal(&vault, id, Stage::Received, content)?;
        let is_new = self.update_alive(async |connection, now| {
            let row = self.row(id);
            rows::receive(connection, row, &self.process, &sealed, now).await
        });
        Ok(is_new.await?.then_some(claim))
    }

    /// Take over at most `most` messages that nobody works on, oldest first.
    pub async fn take_over(
        self: &Arc<Self>,
        bot: &str,
        most: usize,
    ) -> Result<Vec<(Claim, Progress)>, MailboxError> {
        let vault = self.vault().await?;
        self.update_alive(async |connection, now| {
            let mut left = Vec::new();
            // What no key opens waits for its key. Meanwhile values go over from older keys to the newest, which is
            // asked last, so that none is missed on its way.
            for key in vault.names().rev() {
                let whose = (self.gateway.as_str(), bot, self.process.as_str());
                left.extend(rows::left(connection, whose, key, now).await?);
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
                let progress = self.take(connection, &vault, claim.id(), &row).await?;
                taken.extend(progress.map(|progress| (claim, progress)));
            }
            Ok(taken)
        })
        .await
    }

    async fn take(
        &self,
        connection: &mut sqlx::AnyConnection,
        vault: &Vault,
        id: Id<'_>,
        row: &rows::Left,
    ) -> sqlx::Result<Option<Progress>> {
        let key = self.row(id);
        let change = (row.owner.as_str(), self.process.as_str());
        let Some(sealed) = rows::take(connection, key, change, row.stage).await? else {
            return Ok(None);
        };
        let progress = self.open_message(vault, id, row, &sealed);
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
}
