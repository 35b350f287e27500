//! A message that this process works on.

use std::sync::{Arc, PoisonError};

use super::{Change, Id, Mailbox, MailboxError, rows};
use crate::conversation::HistoryLimits;

/// The right to work on a message. When it is dropped before the message is done, the message counts as left behind.
pub struct Claim {
    mailbox: Arc<Mailbox>,
    bot: String,
    number: i64,
}

impl Claim {
    /// Nothing where somebody in this process has it.
    pub(super) fn new(mailbox: &Arc<Mailbox>, bot: &str, number: i64) -> Option<Self> {
        let mut active = mailbox
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        active.insert((bot.to_owned(), number)).then(|| Self {
            mailbox: Arc::clone(mailbox),
            bot: bot.to_owned(),
            number,
        })
    }

    /// The message's number.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Where the message is kept.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The bot's name.
    pub fn bot(&self) -> &str {
        &self.bot
    }

    pub(super) fn id(&self) -> Id<'_> {
        Id {
            bot: &self.bot,
            number: self.number,
        }
    }

    /// Keep an answer, and what it does to the conversation at `place`, together. False when the message is not ours any
    /// more: this process was taken for dead.
    pub async fn answer(
        &self,
        (place, limits): (&str, HistoryLimits),
        change: &Change,
        outbox: &[u8],
    ) -> Result<bool, MailboxError> {
        let conversation = (place, limits);
        self.mailbox
            .answer(self.id(), conversation, change, outbox)
            .await
    }

    /// Work on it begins: a try, unless it is put back. False when the message is not ours any more.
    pub async fn begin(&self) -> Result<bool, MailboxError> {
        self.tried(1).await
    }

    /// It could not come to its end for a reason that is not its own: it waits, and this was no try.
    pub async fn put_back(&self) -> Result<bool, MailboxError> {
        self.tried(-1).await
    }

    async fn tried(&self, more: i64) -> Result<bool, MailboxError> {
        let (row, process) = (self.mailbox.row(self.id()), &self.mailbox.process);
        self.mailbox
            .update(async |connection| rows::tried(connection, row, process, more).await)
            .await
    }

    /// So many pieces of the answer were sent. False when the message is not ours any more.
    pub async fn sent(&self, pieces: usize) -> Result<bool, MailboxError> {
        let pieces = i64::try_from(pieces).unwrap_or(i64::MAX);
        let (row, process) = (self.mailbox.row(self.id()), &self.mailbox.process);
        self.mailbox
            .update(async |connection| rows::sent(connection, row, process, pieces).await)
            .await
    }

    /// Nothing is left to do; only the id is remembered.
    pub async fn done(&self) -> Result<(), MailboxError> {
        let (row, process) = (self.mailbox.row(self.id()), &self.mailbox.process);
        self.mailbox
            .update(async |connection| rows::done(connection, row, process).await)
            .await
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let id = (std::mem::take(&mut self.bot), self.number);
        self.mailbox
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

/// Without what it is about.
impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("bot", &self.bot)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
