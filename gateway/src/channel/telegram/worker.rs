//! What happens to a message after Telegram was told that it arrived: who, what, ask the model, reply.

use std::convert::Infallible;
use std::time::Duration;

use claw_crds::gateway_config::ChannelConfig;
use futures::StreamExt;
use tokio::sync::OnceCell;

use super::access::{self, Verdict};
use super::bot_api::{BotApi, BotApiError, SendMessage};
use super::mention::{self, Bot, Command, Reading};
use super::outgoing::outgoing;
use super::update::{Message, User};
use crate::channel::Outcome;
use crate::channel::answer::{self, Question};
use crate::config::chain;
use crate::conversation::{Conversations, History};
use crate::error::GatewayError;
use crate::respond::{Reply, Respond};

const HELP: &str = "Write a message and I answer it. /reset makes me forget our conversation.";
pub(super) const RESET: &str = "I have forgotten our conversation.";
const TEXT_ONLY: &str = "I can only read text.";
const FAILED: &str = "Sorry, I cannot answer right now. Please try again in a moment.";
const BUSY: &str = "Sorry, too much is going on right now. Please try again in a moment.";
const TOO_LONG: &str = "Sorry, that is too long for me. Please send something shorter.";

/// A conversation: a chat, or a topic within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    chat: i64,
    topic: Option<i64>,
}

impl Place {
    /// Where a message was written.
    pub(super) fn of(message: &Message) -> Self {
        Self {
            chat: message.chat.id,
            topic: message.topic(),
        }
    }

    /// Its name in a mailbox.
    pub(super) fn name(self) -> String {
        let Self { chat, topic } = self;
        topic.map_or_else(|| chat.to_string(), |topic| format!("{chat}/{topic}"))
    }
}

/// Works on the messages of one bot.
pub(crate) struct Worker {
    api: BotApi,
    identity: OnceCell<Bot>,
    conversations: Conversations<Place>,
    typing_every: Duration,
}

/// What is said to a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The model's words.
    Answer(String),
    /// That there are none.
    Apology(&'static str),
}

impl Said {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Answer(text) => text,
            Self::Apology(text) => text,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Answer(_) => Outcome::Answered,
            Self::Apology(_) => Outcome::Failed,
        }
    }
}

/// What is to be said to a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing.
    Silence(Outcome),
    /// These words.
    Say(&'static str),
    /// Forget the conversation, and say so.
    Reset,
    /// What the model answers to this.
    Ask(String),
}

impl Worker {
    /// A worker that has not asked yet who its bot is.
    pub(crate) fn new(
        api: BotApi,
        conversations: Conversations<Place>,
        typing_every: Duration,
    ) -> Self {
        Self {
            api,
            identity: OnceCell::new(),
            conversations,
            typing_every,
        }
    }

    /// Work on a message to the end; what goes wrong is logged here.
    pub(crate) async fn process(
        &self,
        message: Message,
        channel: &ChannelConfig,
        respond: &dyn Respond,
    ) -> Outcome {
        match self.try_process(&message, channel, respond).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(
                    channel.name,
                    telegram.chat = message.chat.id,
                    error = chain(&error),
                    "a Telegram message could not be answered",
                );
                Outcome::Undelivered
            }
        }
    }

    async fn try_process(
        &self,
        message: &Message,
        channel: &ChannelConfig,
        respond: &dyn Respond,
    ) -> Result<Outcome, BotApiError> {
        match self.decide(message, channel).await? {
            Decision::Silence(outcome) => Ok(outcome),
            Decision::Say(text) => self.reply(message, text).await.map(|()| Outcome::Answered),
            Decision::Reset => {
                self.conversations.enter(Place::of(message)).await.clear();
                self.reply(message, RESET).await.map(|()| Outcome::Answered)
            }
            Decision::Ask(question) => {
                let place = Place::of(message);
                let mut history = self.conversations.enter(place).await;
                let asked = (place, question.as_str());
                let said = self.ask(asked, channel, respond, &mut history).await;
                let outcome = said.outcome();
                if let Said::Answer(text) = &said {
                    history.record(question, text.clone());
                }
                self.reply(message, said.text()).await.map(|()| outcome)
            }
        }
    }

    /// What is to be said to a message.
    pub(super) async fn decide(
        &self,
        message: &Message,
        channel: &ChannelConfig,
    ) -> Result<Decision, BotApiError> {
        let bot = self.identity.get_or_try_init(|| self.api.get_me()).await?;
        Ok(decide(message, channel, bot))
    }

    /// Ask the model, while "typing…" is shown. What does not fit of the history is forgotten; nothing is added to it.
    pub(super) async fn ask(
        &self,
        (place, question): (Place, &str),
        channel: &ChannelConfig,
        respond: &dyn Respond,
        history: &mut History,
    ) -> Said {
        let question = Question {
            model: channel.model.clone(),
            system: channel.system_prompt.clone(),
            text: question.to_owned(),
        };
        let answer = tokio::select! {
            answer = answer(respond, question, history) => answer,
            never = self.keep_typing(place) => match never {},
        };
        match answer {
            Ok(text) => Said::Answer(text),
            Err(error) => {
                tracing::warn!(
                    channel.name,
                    model.name = channel.model,
                    error = chain(&error),
                    "no answer"
                );
                Said::Apology(apology(&error))
            }
        }
    }

    /// Send one message.
    pub(super) async fn send(&self, message: &SendMessage) -> Result<(), BotApiError> {
        self.api.send_message(message).await
    }

    async fn reply(&self, message: &Message, text: &str) -> Result<(), BotApiError> {
        for message in outgoing(message, text) {
            self.send(&message).await?;
        }
        Ok(())
    }

    async fn keep_typing(&self, place: Place) -> Infallible {
        loop {
            if let Err(error) = self.api.send_typing(place.chat, place.topic).await {
                tracing::debug!(error = chain(&error), "typing is not shown");
            }
            tokio::time::sleep(self.typing_every).await;
        }
    }
}

async fn answer(
    respond: &dyn Respond,
    question: Question,
    history: &mut History,
) -> Result<String, GatewayError> {
    let mut stream = answer::ask(respond, &question, history).await?;
    let mut text = String::new();
    while let Some(reply) = stream.next().await {
        match reply? {
            Reply::Text(piece) => text.push_str(&piece),
            Reply::Done { .. } => return Ok(text),
        }
    }
    Err(GatewayError::UpstreamInterrupted {
        model: question.model,
    })
}

fn decide(message: &Message, channel: &ChannelConfig, bot: &Bot) -> Decision {
    const IGNORED: Decision = Decision::Silence(Outcome::Ignored);
    // Posts in the name of a chat have no sender whom an access rule could name.
    let (Some(sender), None) = (&message.from, &message.sender_chat) else {
        return IGNORED;
    };
    if mention::is_from_a_bot(sender, bot) {
        return IGNORED;
    }
    let reading = mention::read(message, bot);
    let addressed =
        message.chat.is_private() || reading.as_ref().is_some_and(|reading| reading.addressed);
    match access::judge(&channel.access, sender, &message.chat) {
        Verdict::Allowed => {}
        Verdict::IfAddressed if addressed => {}
        Verdict::IfAddressed => return IGNORED,
        Verdict::Closed | Verdict::Unlisted if !addressed => return IGNORED,
        verdict => return refuse(message, channel, sender, verdict),
    }
    match reading {
        Some(reading) => decide_on_text(reading),
        None if message.has_media() && message.chat.is_private() => Decision::Say(TEXT_ONLY),
        None => IGNORED,
    }
}

fn decide_on_text(reading: Reading) -> Decision {
    match reading.command {
        Some(Command::Foreign) => Decision::Silence(Outcome::Ignored),
        Some(Command::Start | Command::Help) => Decision::Say(HELP),
        Some(Command::Reset) => Decision::Reset,
        Some(Command::Other) | None if reading.prompt.is_empty() => Decision::Say(HELP),
        Some(Command::Other) | None => Decision::Ask(reading.prompt),
    }
}

/// Strangers are told nothing; the log has what an administrator needs to let them in.
fn refuse(message: &Message, channel: &ChannelConfig, sender: &User, verdict: Verdict) -> Decision {
    tracing::info!(
        channel.name,
        telegram.user = sender.id,
        telegram.chat = message.chat.id,
        rule = ?verdict,
        "a Telegram message was refused by the access rules; add the user's or the group's id to allowFrom to admit it",
    );
    Decision::Silence(Outcome::Refused)
}

fn apology(error: &GatewayError) -> &'static str {
    match error {
        GatewayError::PromptTooLong { .. } => TOO_LONG,
        GatewayError::Overloaded { .. }
        | GatewayError::RateLimited { .. }
        | GatewayError::UpstreamRateLimited { .. } => BUSY,
        _ => FAILED,
    }
}
