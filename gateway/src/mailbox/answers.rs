//! Answers, and what was said before.

use zeroize::Zeroizing;

use super::contents::CONVERSATION;
use super::rows::{self, Stage};
use super::{Id, Mailbox, MailboxError, conversation_rows};
use crate::conversation::{History, HistoryLimits};
use crate::store::Cell;

/// A conversation in which nothing was said for so many milliseconds is forgotten.
pub(super) const IDLE_MS: i64 = 24 * 3_600_000;
/// What an answer does to its conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// Everything is forgotten.
    Forget,
    /// An exchange is added.
    Record {
        /// So many of the oldest are forgotten, for they did not fit into the model.
        forgotten: usize,
        /// What was asked.
        question: String,
        /// What was answered.
        answer: String,
    },
}

impl Mailbox {
    /// What was said before.
    pub async fn history(
        &self,
        bot: &str,
        place: &str,
        limits: HistoryLimits,
    ) -> Result<History, MailboxError> {
        let vault = self.vault().await?;
        let store = &self.store;
        let sealed = self
            .noted(store.bounded(async {
                let mut transaction = store.begin().await?;
                let now = store.time(&mut transaction).await?;
                let key = (self.gateway.as_str(), bot, place);
                let sealed = conversation_rows::read(&mut transaction, key, now - IDLE_MS)
                    .await
                    .map_err(|error| store.failed(error))?;
                store.commit(transaction).await?;
                Ok(sealed)
            }))
            .await?;
        Ok(self.open_history(&vault, (bot, place), sealed, limits))
    }

    /// Keep an answer, and what it does to its conversation, together. False when the message is not ours any more.
    pub(super) async fn answer(
        &self,
        id: Id<'_>,
        (place, limits): (&str, HistoryLimits),
        change: &Change,
        outbox: &[u8],
    ) -> Result<bool, MailboxError> {
        let vault = self.vault().await?;
        let sealed = self.seal(&vault, id, Stage::Answered, outbox)?;
        let store = &self.store;
        let written = self.noted(store.bounded(async {
            let mut transaction = store.begin().await?;
            let now = store.time(&mut transaction).await?;
            let failed = |error| store.failed(error);
            let row = self.row(id);
            let is_ours = rows::answer(&mut transaction, row, &self.process, &sealed)
                .await
                .map_err(failed)?;
            if !is_ours {
                return Ok(Ok(false));
            }
            let key = (self.gateway.as_str(), id.bot, place);
            match change {
                Change::Keep => {}
                Change::Forget => conversation_rows::forget(&mut transaction, key)
                    .await
                    .map_err(failed)?,
                Change::Record {
                    forgotten,
                    question,
                    answer,
                } => {
                    let before = conversation_rows::lock(&mut transaction, key, now, IDLE_MS)
                        .await
                        .map_err(failed)?;
                    let mut history = self.open_history(&vault, (id.bot, place), before, limits);
                    history.forget_oldest(*forgotten);
                    history.record(question.clone(), answer.clone());
                    let json = Zeroizing::new(history.to_json());
                    let cell = Cell {
                        column: CONVERSATION,
                        row: &[key.0, key.1, key.2],
                    };
                    let sealed = match vault.seal(cell, &json) {
                        Ok(sealed) => sealed,
                        Err(error) => return Ok(Err(error)),
                    };
                    conversation_rows::write(&mut transaction, key, &sealed)
                        .await
                        .map_err(failed)?;
                }
            }
            store.commit(transaction).await?;
            Ok(Ok(true))
        }));
        Ok(written.await??)
    }
}
