//! The way in for the messages of one bot: each once, in the order of its chat, a bounded number at a time.

use std::sync::{Arc, Mutex, PoisonError};

use claw_crds::gateway_config::ChannelConfig;

use super::seen::Seen;
use super::update::Message;
use super::worker::Worker;
use crate::AppState;
use crate::audit::notes::{NOTES, Notes};
use crate::channel::keyed_queue::KeyedQueue;
use crate::channel::record_with;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits for its turn.
    Accepted,
    /// It came before.
    Duplicate,
    /// There is no room; it has to come again.
    Full,
}

/// A message and how to process it.
pub(super) struct Job<F> {
    chat: i64,
    work: F,
}

/// The inbox of one bot.
pub(super) struct Inbox {
    seen: Mutex<Seen>,
    queue: Arc<KeyedQueue<i64>>,
    worker: Arc<Worker>,
}

impl Inbox {
    pub(super) fn new(seen: Seen, queue: Arc<KeyedQueue<i64>>, worker: Worker) -> Self {
        Self {
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
}
