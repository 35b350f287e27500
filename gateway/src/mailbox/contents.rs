//! What people write, sealed for its row and opened again.

use zeroize::Zeroizing;

use super::rows::{Left, Row, Stage};
use super::{Id, Mailbox, Progress};
use crate::conversation::{History, HistoryLimits};
use crate::store::{Cell, SealError, Sealed, Vault};

/// Where the content of a conversation is.
pub(super) const CONVERSATION: &str = "conversation.content";

impl Mailbox {
    pub(super) fn open_message(
        &self,
        vault: &Vault,
        id: Id<'_>,
        row: &Left,
        sealed: &Sealed,
    ) -> Option<Progress> {
        let number = id.number.to_string();
        let cell = (row.stage.column(), &[id.bot, number.as_str()]);
        let opened = self.open(vault, cell, sealed, "a message")?;
        Some(match row.stage {
            Stage::Received => Progress::Received(opened),
            Stage::Answered => {
                Progress::Answered(opened, usize::try_from(row.sent).unwrap_or_default())
            }
        })
    }

    pub(super) fn open_history(
        &self,
        vault: &Vault,
        (bot, place): (&str, &str),
        sealed: Option<Sealed>,
        limits: HistoryLimits,
    ) -> History {
        let opened = sealed.and_then(|sealed| {
            let cell = (CONVERSATION, &[bot, place]);
            self.open(vault, cell, &sealed, "a conversation")
        });
        opened
            .and_then(|json| History::from_json(&json, limits).ok())
            .unwrap_or_else(|| History::new(limits))
    }

    /// What does not open is told by its place and counted, and then as good as absent.
    pub(super) fn open(
        &self,
        vault: &Vault,
        (column, row): (&'static str, &[&str; 2]),
        sealed: &Sealed,
        what: &'static str,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let [bot, name] = row;
        let row = [self.gateway.as_str(), bot, name];
        let cell = Cell { column, row: &row };
        match vault.open(cell, sealed) {
            Ok(opened) => Some(opened),
            Err(error) => {
                self.counters.unreadable.inc();
                tracing::warn!(
                    channel.bot = bot,
                    place = name,
                    key = sealed.key,
                    %error,
                    "{what} in the database cannot be read; see spec.state.encryption.keys"
                );
                None
            }
        }
    }

    pub(super) fn seal(
        &self,
        vault: &Vault,
        id: Id<'_>,
        stage: Stage,
        content: &[u8],
    ) -> Result<Sealed, SealError> {
        let number = id.number.to_string();
        let row = [self.gateway.as_str(), id.bot, number.as_str()];
        let column = stage.column();
        vault.seal(Cell { column, row: &row }, content)
    }

    pub(super) fn row<'a>(&'a self, id: Id<'a>) -> Row<'a> {
        (&self.gateway, id.bot, id.number)
    }
}
