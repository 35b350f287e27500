//! The mailbox of the configuration in force.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use claw_crds::gateway_config::{ConversationsConfig, GatewayIdentity, StateConfig};
use tokio_util::task::TaskTracker;

use super::{Counters, Keys, Mailbox};
use crate::config::RuntimeConfig;
use crate::store::{KeyFile, Place, Store};

/// Where the messages of channels are kept.
#[derive(Clone)]
pub enum Mail {
    /// In the memory of the process.
    Memory,
    /// In a database.
    Stored(Arc<Mailbox>),
    /// In one that is not to be had, for this reason.
    Unavailable(Arc<str>),
}

/// What a mailbox was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    gateway: GatewayIdentity,
    state: StateConfig,
    conversations: ConversationsConfig,
}

/// Has the mailbox of the configuration in force.
pub struct PostOffice {
    state_dir: PathBuf,
    counters: Counters,
    mail: ArcSwap<Mail>,
    wish: ArcSwapOption<Wish>,
    /// Mailboxes that a new configuration has put out of use.
    closing: TaskTracker,
}

impl PostOffice {
    /// One that keeps nothing yet; the file of SQLite, and the key file, are in `state_dir`.
    pub fn new(state_dir: PathBuf, counters: Counters) -> Self {
        Self {
            state_dir,
            counters,
            mail: ArcSwap::from_pointee(Mail::Memory),
            wish: ArcSwapOption::empty(),
            closing: TaskTracker::new(),
        }
    }

    /// Where messages are kept now.
    pub fn mail(&self) -> Arc<Mail> {
        self.mail.load_full()
    }

    /// Keep messages where the configuration says; those that were kept stay where they are. Needs a runtime.
    pub fn follow(&self, runtime: &RuntimeConfig) {
        let wish = Wish {
            gateway: runtime.gateway.clone(),
            state: runtime.state.clone(),
            conversations: runtime.conversations.clone(),
        };
        let before = self.wish.swap(Some(Arc::new(wish.clone())));
        if before.as_deref() == Some(&wish) {
            return;
        }
        let is_elsewhere = before
            .is_none_or(|before| (&before.gateway, &before.state) != (&wish.gateway, &wish.state));
        let mail = match (wish.conversations, wish.state) {
            (ConversationsConfig::Memory, _) => Mail::Memory,
            (ConversationsConfig::Unavailable { reason }, _)
            | (_, StateConfig::Unavailable { reason }) => {
                tracing::error!(reason, "messages of channels cannot be kept");
                Mail::Unavailable(reason.into())
            }
            (ConversationsConfig::Stored { keys }, state) => {
                let (place, file) = match state {
                    StateConfig::Postgres(url) => (Place::Postgres(url), None),
                    _ => (
                        Place::in_directory(&self.state_dir),
                        Some(KeyFile::in_directory(&self.state_dir)),
                    ),
                };
                let keys = Keys::new(keys, file);
                // What is under way goes on with other keys.
                if let Mail::Stored(mailbox) = &*self.mail.load_full()
                    && !is_elsewhere
                {
                    mailbox.rekey(keys);
                    return;
                }
                let GatewayIdentity { namespace, name } = wish.gateway;
                let name = format!("{namespace}/{name}");
                let counters = self.counters.clone();
                Mail::Stored(Mailbox::start(name, Store::new(place), keys, counters))
            }
        };
        let before = self.mail.swap(Arc::new(mail));
        if let Mail::Stored(mailbox) = &*before {
            let mailbox = Arc::clone(mailbox);
            self.closing.spawn(async move { mailbox.close().await });
        }
    }

    /// What keeps messages from being kept.
    pub fn fault(&self) -> Option<String> {
        match &**self.mail.load() {
            Mail::Memory => None,
            Mail::Stored(mailbox) => mailbox.fault().map(|fault| (*fault).clone()),
            Mail::Unavailable(reason) => Some(reason.to_string()),
        }
    }

    /// Where messages are kept, and whether that works; nothing when it is the memory.
    pub fn place(&self) -> Option<(String, bool)> {
        match &**self.mail.load() {
            Mail::Memory => None,
            Mail::Stored(mailbox) => Some((
                mailbox.store().place().to_string(),
                mailbox.fault().is_none(),
            )),
            Mail::Unavailable(_) => Some(("a database that is not to be had".to_owned(), false)),
        }
    }

    /// End; what is not done may be taken over by others at once.
    pub async fn close(&self) {
        let mail = self.mail.swap(Arc::new(Mail::Memory));
        if let Mail::Stored(mailbox) = &*mail {
            mailbox.close().await;
        }
        self.closing.close();
        self.closing.wait().await;
    }
}
