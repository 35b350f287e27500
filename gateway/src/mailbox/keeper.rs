//! The task that shows that the process lives, drops what is long over, and encrypts anew what an older key has
//! encrypted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::answers::IDLE_MS;
use super::{Mailbox, MailboxError, renewal, rows};
use crate::store::Vault;

/// How often the database hears of the process.
const BEAT: Duration = Duration::from_secs(5);
/// How often what is long over is dropped, in beats.
const CLEANING: u32 = 12;
/// How often it is looked for values of older keys, in beats: other replicas may have used one for a moment longer.
const RENEWAL: u32 = 120;

/// Keeps a mailbox in order.
pub(super) struct Keeper {
    mailbox: Arc<Mailbox>,
    /// Whether something may be encrypted by an older key.
    is_outdated: bool,
    unknown: i64,
}

impl Keeper {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            is_outdated: true,
            unknown: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mailbox = Arc::clone(&self.mailbox);
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = 0;
        loop {
            tokio::select! {
                biased;
                () = mailbox.closing.cancelled() => return,
                () = mailbox.rekeyed.notified() => self.is_outdated = true,
                _ = beats.tick() => {
                    self.is_outdated |= beat % RENEWAL == 0;
                    // What failed is logged, and done the next time.
                    let _ = self.beat(beat % CLEANING == 0).await;
                    beat = beat.wrapping_add(1);
                }
            }
            if self.is_outdated {
                self.is_outdated = self.renew().await.is_err();
            }
        }
    }

    async fn beat(&self, cleans: bool) -> Result<(), MailboxError> {
        self.mailbox
            .update_alive(async |connection, now| {
                if cleans {
                    rows::clean(connection, now, IDLE_MS).await?;
                }
                Ok(())
            })
            .await
    }

    /// Encrypt everything by the newest key, and count what is left.
    async fn renew(&mut self) -> Result<(), MailboxError> {
        let vault = self.mailbox.vault().await?;
        let mut renewed = 0;
        for table in renewal::TABLES {
            for old in vault.names().skip(1) {
                renewed += self.renew_table(&vault, table, old).await?;
            }
        }
        if renewed > 0 {
            tracing::info!(
                values = renewed,
                "what older keys had encrypted is encrypted by the newest one now"
            );
        }
        self.count(&vault).await
    }

    async fn renew_table(
        &self,
        vault: &Vault,
        table: &'static renewal::Table,
        old: &str,
    ) -> Result<usize, MailboxError> {
        let (mailbox, mut renewed, mut closed) = (&self.mailbox, 0, 0);
        loop {
            let batch = mailbox.update(async |connection| {
                let name = &mailbox.gateway;
                renewal::batch(connection, (table, name), vault, (old, closed)).await
            });
            let batch = batch.await?;
            renewed += batch.renewed;
            closed += batch.closed;
            if batch.is_last || mailbox.closing.is_cancelled() {
                return Ok(renewed);
            }
            // However many there are, others see that this process lives.
            self.beat(false).await?;
        }
    }

    async fn count(&mut self, vault: &Vault) -> Result<(), MailboxError> {
        let mailbox = &self.mailbox;
        let counts = mailbox.update(async |connection| {
            let mut counts = Vec::new();
            for table in renewal::TABLES {
                counts.extend(renewal::count(connection, (table, &mailbox.gateway)).await?);
            }
            Ok(counts)
        });
        let counts = counts.await?;
        let (mut newest, mut older, mut unknown) = (0, 0, 0);
        for (key, count) in counts {
            let sum = match vault.names().position(|name| name == key) {
                Some(0) => &mut newest,
                Some(_) => &mut older,
                None => &mut unknown,
            };
            *sum += count;
        }
        mailbox.counters.count(newest, older, unknown);
        if unknown > 0 && unknown != self.unknown {
            tracing::warn!(
                values = unknown,
                "values in the database were encrypted by keys that are not listed; they are as good as absent until \
                 spec.state.encryption.keys lists their key"
            );
        }
        self.unknown = unknown;
        Ok(())
    }
}
