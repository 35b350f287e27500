//! The bots at work: one inbox for each channel, made at its first message, dropped with the channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use claw_crds::gateway_config::{ChannelConfig, Redacted};
use sha2::{Digest as _, Sha256};

use super::Settings;
use super::bot_api::BotApi;
use super::inbox::Inbox;
use super::seen::Seen;
use super::worker::Worker;
use crate::AppState;
use crate::channel::keyed_queue::KeyedQueue;
use crate::conversation::Conversations;
use crate::mailbox::Mailbox;

/// The Telegram part of a channel's configuration.
#[derive(Clone, Copy)]
pub(in crate::channel) struct Credentials<'a> {
    pub(in crate::channel) bot_token: &'a Redacted,
    pub(in crate::channel) webhook_secret: &'a Redacted,
    pub(in crate::channel) api_base_url: &'a str,
}

/// All bots of a gateway.
pub(crate) struct Roster {
    settings: Settings,
    posts: Mutex<HashMap<String, Post>>,
}

/// A bot and the place where it works; with another token it is another bot, whose updates count anew.
struct Post {
    bot_token: Redacted,
    api_base_url: String,
    inbox: Arc<Inbox>,
}

impl Roster {
    /// No bot yet.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            posts: Mutex::default(),
        }
    }

    /// The inbox of a channel's bot.
    pub(super) fn inbox(
        &self,
        app: &AppState,
        channel: &ChannelConfig,
        credentials: Credentials<'_>,
    ) -> Arc<Inbox> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(post) = posts.get(&channel.name)
            && post.is_of(credentials)
        {
            return Arc::clone(&post.inbox);
        }
        // A change of the configuration is the time to part with those that are gone; their queued work goes on.
        posts.retain(|name, _| app.peek().channel(name).is_some());
        let inbox = Arc::new(self.hire(app, channel, credentials));
        let post = Post {
            bot_token: credentials.bot_token.clone(),
            api_base_url: credentials.api_base_url.to_owned(),
            inbox: Arc::clone(&inbox),
        };
        posts.insert(channel.name.clone(), post);
        inbox
    }

    /// Go on with what other processes have left behind of a channel's messages.
    pub(in crate::channel) async fn take_over(
        &self,
        app: &AppState,
        channel: &ChannelConfig,
        credentials: Credentials<'_>,
        mailbox: &Arc<Mailbox>,
    ) {
        let inbox = self.inbox(app, channel, credentials);
        inbox.take_over(app, channel, mailbox).await;
    }

    fn hire(&self, app: &AppState, channel: &ChannelConfig, credentials: Credentials<'_>) -> Inbox {
        let settings = &self.settings;
        let policy = (settings.retry, Arc::clone(&settings.pause));
        let api = BotApi::new(
            app.outbound.clone(),
            credentials.api_base_url,
            credentials.bot_token.clone(),
            policy,
        );
        let worker = Worker::new(
            api,
            Conversations::new(settings.conversations),
            settings.typing_every,
        );
        let queue = KeyedQueue::new(settings.queue, app.tasks.clone());
        let kept = (
            format!("{}/{}", channel.name, bot_id(credentials.bot_token)),
            settings.conversations.history,
        );
        Inbox::new(kept, Seen::new(settings.remembered_updates), queue, worker)
    }
}

impl Post {
    fn is_of(&self, credentials: Credentials<'_>) -> bool {
        self.bot_token == *credentials.bot_token && self.api_base_url == credentials.api_base_url
    }
}

/// What stays of a bot when its token changes. What stands before the colon is no secret.
fn bot_id(token: &Redacted) -> String {
    match token.expose().split_once(':') {
        Some((id, _)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => {
            id.to_owned()
        }
        _ => hex::encode(&Sha256::digest(token.expose())[..8]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_the_same_with_another_token() {
        let id = |token| bot_id(&Redacted::new(token));
        assert_eq!(
            id("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
            "110201543"
        );
        assert_ne!(id("no-colon"), id("another"));
        assert!(!id("secret:more").contains("secret"));
    }
}
