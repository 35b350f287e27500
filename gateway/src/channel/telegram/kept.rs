//! The way of a message that is kept in a mailbox: what there is to say is kept before a word of it is sent, and what was
//! sent is noted, so that another process can go on where this one ended.
//!
//! Telegram does not tell whether a message that was being sent when the process died has arrived; it is sent again.

use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::ChannelConfig;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::bot_api::{BotApiError, Prospect, SendMessage};
use super::outgoing::outgoing;
use super::update::{Message, Update};
use super::worker::{Decision, Place, RESET, Said, Worker};
use crate::AppState;
use crate::audit::notes::{NOTES, Notes};
use crate::channel::{Outcome, record_with};
use crate::config::chain;
use crate::conversation::HistoryLimits;
use crate::mailbox::{Change, Claim, MailboxError, Progress};

/// Between two tries of a database that fails.
const PAUSE: Duration = Duration::from_secs(1);

/// What there is of a message.
#[derive(Debug)]
pub(super) enum Kept {
    /// The message.
    Received(Box<Message>),
    /// What is to be sent, and how many of them were.
    Answered(Vec<SendMessage>, usize),
}

impl Kept {
    /// What a process has left behind.
    pub(super) fn read(progress: &Progress) -> Option<Self> {
        match progress {
            Progress::Received(content) => {
                let message = Update::parse(content).ok()?.message?;
                Some(Self::Received(Box::new(message)))
            }
            Progress::Answered(content, sent) => {
                Some(Self::Answered(serde_json::from_slice(content).ok()?, *sent))
            }
        }
    }

    /// The chat it belongs to.
    pub(super) fn chat(&self) -> i64 {
        match self {
            Self::Received(message) => message.chat.id,
            Self::Answered(messages, _) => messages.first().map_or(0, |message| message.chat_id),
        }
    }
}

/// Work on one message.
pub(super) struct Errand {
    pub(super) claim: Claim,
    pub(super) history: HistoryLimits,
    pub(super) worker: Arc<Worker>,
    pub(super) app: AppState,
    pub(super) channel: ChannelConfig,
}

impl Errand {
    /// Work on it to the end; what goes wrong is logged here. Without a database until shutdown, it is left behind.
    pub(super) async fn run(self, kept: Kept) {
        let notes = Arc::new(Notes::new(self.app.audit.wants_content()));
        let outcome = NOTES.scope(Arc::clone(&notes), self.work(kept)).await;
        if let Some(outcome) = outcome {
            record_with(&self.app, &self.channel, outcome, notes.take_content());
        }
    }

    async fn work(&self, kept: Kept) -> Option<Outcome> {
        if !self.insist(|| self.claim.begin().boxed()).await? {
            self.tell_it_is_lost();
            return None;
        }
        match kept {
            Kept::Received(message) => self.answer(&message).await,
            Kept::Answered(messages, sent) => {
                self.deliver(&messages, sent, Outcome::Answered).await
            }
        }
    }

    async fn answer(&self, message: &Message) -> Option<Outcome> {
        let decision = match self.worker.decide(message, &self.channel).await {
            Ok(decision) => decision,
            Err(error) => {
                return self.fail(message.chat.id, &error).await;
            }
        };
        let place = Place::of(message);
        let (messages, change, outcome) = match decision {
            Decision::Silence(outcome) => return self.finish(outcome).await,
            Decision::Say(text) => (outgoing(message, text), Change::Keep, Outcome::Answered),
            Decision::Reset => (outgoing(message, RESET), Change::Forget, Outcome::Answered),
            Decision::Ask(question) => {
                let (said, change) = self.ask(place, question).await?;
                (outgoing(message, said.text()), change, said.outcome())
            }
        };
        let outbox = serde_json::to_vec(&messages).expect("texts and numbers are JSON");
        let name = place.name();
        let conversation = (name.as_str(), self.history);
        let is_ours = self
            .insist(|| self.claim.answer(conversation, &change, &outbox).boxed())
            .await?;
        if !is_ours {
            self.tell_it_is_lost();
            return None;
        }
        self.deliver(&messages, 0, outcome).await
    }

    async fn ask(&self, place: Place, question: String) -> Option<(Said, Change)> {
        let name = place.name();
        let (mailbox, bot) = (self.claim.mailbox(), self.claim.bot());
        let mut history = self
            .insist(|| mailbox.history(bot, &name, self.history).boxed())
            .await?;
        let before = history.len();
        let asked = (place, question.as_str());
        let respond = self.app.respond.as_ref();
        let said = self
            .worker
            .ask(asked, &self.channel, respond, &mut history)
            .await;
        let change = match &said {
            Said::Answer(answer) => Change::Record {
                forgotten: before - history.len(),
                question,
                answer: answer.clone(),
            },
            Said::Apology(_) => Change::Keep,
        };
        Some((said, change))
    }

    async fn deliver(
        &self,
        messages: &[SendMessage],
        sent: usize,
        outcome: Outcome,
    ) -> Option<Outcome> {
        for (place, message) in messages.iter().enumerate().skip(sent) {
            if let Err(error) = self.worker.send(message).await {
                return self.fail(message.chat_id, &error).await;
            }
            let is_last = place + 1 == messages.len();
            if !is_last && !self.insist(|| self.claim.sent(place + 1).boxed()).await? {
                self.tell_it_is_lost();
                return None;
            }
        }
        self.finish(outcome).await
    }

    /// The message is done where it will never get through; else it is left behind, and gone on with later.
    async fn fail(&self, chat: i64, error: &BotApiError) -> Option<Outcome> {
        let prospect = error.prospect();
        tracing::warn!(
            channel.name = self.channel.name,
            telegram.chat = chat,
            error = chain(error),
            is_tried_again = prospect != Prospect::Hopeless,
            "a Telegram message could not be answered",
        );
        match prospect {
            Prospect::Hopeless => self.finish(Outcome::Undelivered).await,
            Prospect::Later => {
                self.insist(|| self.claim.put_back().boxed()).await?;
                None
            }
            // It counts as a try, so that the same is said a few times at most.
            Prospect::Doubtful => None,
        }
    }

    fn tell_it_is_lost(&self) {
        tracing::warn!(
            channel.name = self.channel.name,
            update = self.claim.number(),
            "another process has taken a message over, so nothing more is said here"
        );
    }

    async fn finish(&self, outcome: Outcome) -> Option<Outcome> {
        self.insist(|| self.claim.done().boxed()).await?;
        Some(outcome)
    }

    /// Until it succeeds; nothing where the gateway shuts down while it fails, or messages are kept elsewhere by now.
    async fn insist<'a, T>(
        &'a self,
        work: impl Fn() -> BoxFuture<'a, Result<T, MailboxError>> + Send,
    ) -> Option<T> {
        loop {
            // What failed is logged where it happens.
            if let Ok(done) = work().await {
                return Some(done);
            }
            tokio::select! {
                () = self.app.shutdown.cancelled() => return None,
                () = self.claim.mailbox().closed() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}
