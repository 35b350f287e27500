//! The bots at work: one inbox for each channel, made at its first message, dropped with the channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use claw_crds::gateway_config::{ChannelConfig, Redacted};

use super::Settings;
use super::bot_api::BotApi;
use super::inbox::Inbox;
use super::seen::Seen;
use super::worker::Worker;
use crate::AppState;
use crate::channel::keyed_queue::KeyedQueue;
use crate::conversation::Conversations;

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
        let inbox = Arc::new(self.hire(app, credentials));
        let post = Post {
            bot_token: credentials.bot_token.clone(),
            api_base_url: credentials.api_base_url.to_owned(),
            inbox: Arc::clone(&inbox),
        };
        posts.insert(channel.name.clone(), post);
        inbox
    }

    fn hire(&self, app: &AppState, credentials: Credentials<'_>) -> Inbox {
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
        Inbox::new(Seen::new(settings.remembered_updates), queue, worker)
    }
}

impl Post {
    fn is_of(&self, credentials: Credentials<'_>) -> bool {
        self.bot_token == *credentials.bot_token && self.api_base_url == credentials.api_base_url
    }
}
