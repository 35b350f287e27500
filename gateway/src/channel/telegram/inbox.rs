//! The way in for the messages of one bot: each once, in the order of its chat, a bounded number at a time.

use std::sync::{Arc, Mutex, PoisonError};

use claw_crds::gateway_config::ChannelConfig;

use super::kept::{Errand, Kept};
use super::seen::Seen;
use super::update::Message;
use super::worker::Worker;
use crate::AppState;
use crate::audit::notes::{NOTES, Notes};
use crate::channel::keyed_queue::{Full, KeyedQueue};
use crate::channel::{Outcome, record_with};
use crate::conversation::HistoryLimits;
use crate::mailbox::{Claim, Mailbox, MailboxError};

/// Taken over in one transaction: it is bounded in time, and every message costs a trip to the database and back.
const MOST_AT_ONCE: usize = 32;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits for its turn.
    Accepted,
    /// It came before.
    Duplicate,
    /// There is no room; it has to come again.
    Full,
    /// It could not be kept; it has to come again.
    Unkept,
}

impl Admission {
    /// What became of the message, where that is known already.
    pub(super) fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Accepted => None,
            Self::Duplicate => Some(Outcome::Duplicate),
            Self::Full => Some(Outcome::Overflow),
            Self::Unkept => Some(Outcome::Unkept),
        }
    }
}

/// A message and how to process it.
pub(super) struct Job<F> {
    chat: i64,
    work: F,
}

/// The inbox of one bot.
pub(super) struct Inbox {
    /// The bot's name in a mailbox.
    bot: String,
    history: HistoryLimits,
    seen: Mutex<Seen>,
    queue: Arc<KeyedQueue<i64>>,
    worker: Arc<Worker>,
}

impl Inbox {
    pub(super) fn new(
        (bot, history): (String, HistoryLimits),
        seen: Seen,
        queue: Arc<KeyedQueue<i64>>,
        worker: Worker,
    ) -> Self {
        Self {
            bot,
            history,
            seen: Mutex::new(seen),
            queue,
            worker: Arc::new(worker),
        }
    }

    /// The processing of a message, with the settings that the channel has now.
    pub(super) fn job(
        &self,
        app: &AppState,
        channel: &ChannelConfig,
        message: Message,
    ) -> Job<impl Future<Output = ()> + Send + 'static> {
        let (app, channel, worker) = (app.clone(), channel.clone(), Arc::clone(&self.worker));
        let chat = message.chat.id;
        let work = async move {
            let notes = Arc::new(Notes::new(app.audit.wants_content()));
            let processed = worker.process(message, &channel, app.respond.as_ref());
            let outcome = NOTES.scope(Arc::clone(&notes), processed).await;
            record_with(&app, &channel, outcome, notes.take_content());
        };
        Job { chat, work }
    }

    /// Take an update in, unless it came before. It is remembered under the same lock under which it is queued, so
    /// of two deliveries at once only one is taken.
    pub(super) fn admit(
        &self,
        update: i64,
        job: Job<impl Future<Output = ()> + Send + 'static>,
    ) -> Admission {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(update) {
            return Admission::Duplicate;
        }
        if self.queue.push(job.chat, job.work).is_err() {
            return Admission::Full;
        }
        seen.insert(update);
        Admission::Accepted
    }

    /// Take an update in that is to be kept in a mailbox, unless it came before.
    pub(super) async fn keep(
        &self,
        app: &AppState,
        channel: &ChannelConfig,
        mailbox: &Arc<Mailbox>,
        (update, message, content): (i64, Message, &[u8]),
    ) -> Result<Admission, MailboxError> {
        if self.queue.room() == 0 {
            return Ok(Admission::Full);
        }
        let Some(claim) = mailbox.receive(&self.bot, update, content).await? else {
            return Ok(Admission::Duplicate);
        };
        let kept = Kept::Received(Box::new(message));
        self.run_errand(app, channel, claim, kept);
        Ok(Admission::Accepted)
    }

    /// Go on with what was left behind, by this process or others.
    pub(super) async fn take_over(
        &self,
        app: &AppState,
        channel: &ChannelConfig,
        mailbox: &Arc<Mailbox>,
    ) {
        let room = self.queue.room();
        if room == 0 {
            return;
        }
        // What failed is logged, and tried again soon.
        let left = mailbox
            .take_over(&self.bot, room.min(MOST_AT_ONCE))
            .await
            .unwrap_or_default();
        for (claim, progress) in left {
            let number = claim.number();
            let Some(kept) = Kept::read(&progress) else {
                tracing::error!(
                    channel.name,
                    update = number,
                    "a message that was left behind is not understood"
                );
                // It is tried again until it is given up. What failed is logged.
                let _ = claim.begin().await;
                continue;
            };
            tracing::info!(
                channel.name,
                update = number,
                "a message that was left behind is worked on"
            );
            self.run_errand(app, channel, claim, kept);
        }
    }

    /// Where there is no room after all, the message is taken over later.
    fn run_errand(&self, app: &AppState, channel: &ChannelConfig, claim: Claim, kept: Kept) {
        let chat = kept.chat();
        let errand = Errand {
            claim,
            history: self.history,
            worker: Arc::clone(&self.worker),
            app: app.clone(),
            channel: channel.clone(),
        };
        if let Err(Full) = self.queue.push(chat, errand.run(kept)) {
            tracing::debug!(channel.name, "a message waits for room");
        }
    }
}
