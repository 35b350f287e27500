//! The mailbox of the configuration in force.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use claw_crds::gateway_config::{
    ConversationsConfig, GatewayIdentity, PlatformConfig, StateConfig,
};
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
            conversations: self.needed(runtime),
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

    /// Who keeps limits in a file and has no bot needs no key file for it. Where there is one, there may be something
    /// that is to be forgotten in time.
    fn needed(&self, runtime: &RuntimeConfig) -> ConversationsConfig {
        let is_for_itself = matches!(&runtime.conversations, ConversationsConfig::Stored { keys } if keys.is_empty());
        let has_bots = runtime
            .channels
            .iter()
            .any(|channel| matches!(channel.platform, PlatformConfig::Telegram { .. }));
        if is_for_itself && !has_bots && !KeyFile::in_directory(&self.state_dir).is_there() {
            return ConversationsConfig::Memory;
        }
        runtime.conversations.clone()
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

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::Redacted;

    use super::*;
    use crate::config::fixture;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn runtime(conversations: ConversationsConfig) -> RuntimeConfig {
        let mut config = fixture::config(&["far"]);
        config.conversations = conversations;
        fixture::runtime(config)
    }

    fn stored(keys: &[&str]) -> ConversationsConfig {
        ConversationsConfig::Stored {
            keys: keys.iter().copied().map(Redacted::new).collect(),
        }
    }

    fn mailbox(office: &PostOffice) -> Option<Arc<Mailbox>> {
        match &*office.mail() {
            Mail::Stored(mailbox) => Some(Arc::clone(mailbox)),
            Mail::Memory | Mail::Unavailable(_) => None,
        }
    }

    #[tokio::test]
    async fn other_keys_leave_the_mailbox_at_work() {
        let folder = tempfile::tempdir().expect("a folder");
        let office = PostOffice::new(folder.path().to_owned(), Counters::default());
        office.follow(&runtime(stored(&[KEY])));
        let first = mailbox(&office).expect("a mailbox");
        let newer = KEY.replace('Q', "g");
        office.follow(&runtime(stored(&[&newer, KEY])));
        let second = mailbox(&office).expect("a mailbox");
        assert!(Arc::ptr_eq(&first, &second));
        office.close().await;
    }

    #[tokio::test]
    async fn without_bots_no_key_file_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let office = PostOffice::new(folder.path().to_owned(), Counters::default());
        office.follow(&runtime(stored(&[])));
        assert!(mailbox(&office).is_none());
        assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);

        let file = KeyFile::in_directory(folder.path());
        file.read_or_make().expect("made by an earlier bot");
        let mut config = fixture::config(&["far", "near"]);
        config.conversations = stored(&[]);
        // Another configuration, so that the wish is looked at again.
        office.follow(&fixture::runtime(config));
        assert!(mailbox(&office).is_some());
        office.close().await;
    }

    #[tokio::test]
    async fn what_is_not_to_be_had_is_told() {
        let office = PostOffice::new(PathBuf::new(), Counters::default());
        let reason = "spec.state.encryption.keys[0] is not usable".to_owned();
        let unavailable = ConversationsConfig::Unavailable { reason };
        office.follow(&runtime(unavailable));
        let fault = office.fault().expect("a fault");
        assert!(fault.contains("spec.state.encryption.keys[0]"), "{fault}");
        assert!(office.place().is_some_and(|(_, works)| !works));
        office.follow(&runtime(ConversationsConfig::Memory));
        assert_eq!((office.fault(), office.place()), (None, None));
        office.close().await;
    }
}
