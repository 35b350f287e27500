//! Requests for a model that is loaded on demand: they wait for it, and whoever listens hears how far it is.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use tokio::sync::watch;

use super::{Answered, ChunkStream};
use crate::error::GatewayError;
use crate::models::{Lease, ModelSlot, SlotState};

/// A model that is on its way may be there after this long.
const LOAD_PAUSE: Duration = Duration::from_secs(5);
/// How often a client hears what it waits for.
pub const HELD_KEEP_ALIVE: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// Who listens to what the request under way waits for.
    static HELD: Arc<watch::Sender<Option<String>>>;
}

/// What a request waits for, in words; nothing while it does not wait.
#[derive(Clone, Debug)]
pub struct Held(watch::Receiver<Option<String>>);

impl Held {
    /// The same work, and what it waits for.
    pub fn listen<T>(work: impl Future<Output = T>) -> (impl Future<Output = T>, Self) {
        let (sender, receiver) = watch::channel(None);
        (HELD.scope(Arc::new(sender), work), Self(receiver))
    }

    /// Until the work waits for a model. Pending for ever where it never does.
    pub async fn waits(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What is waited for now.
    pub fn told(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// What is waited for: at once, every few seconds, and to its end.
    pub fn words(self) -> impl Stream<Item = String> + Send + use<> {
        let ticks = tokio::time::interval(HELD_KEEP_ALIVE);
        stream::unfold((self.0, ticks), |(mut held, mut ticks)| async {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = held.wait_for(Option::is_none) => return None,
            }
            let told = held.borrow().clone();
            Some((told?, (held, ticks)))
        })
    }
}

/// An answer that begins once a model is loaded.
pub struct HeldAnswer {
    answer: BoxFuture<'static, Result<Answered<ChunkStream>, GatewayError>>,
    held: Held,
}

/// What begins before anybody loses patience, and what does not.
pub enum Beginning {
    /// An answer.
    Begun(Answered<ChunkStream>),
    /// A model is waited for.
    Held(HeldAnswer),
}

impl HeldAnswer {
    /// Wait for an answer; give it out of hand where a model is still waited for after `patience`.
    pub async fn begin(
        answer: impl Future<Output = Result<Answered<ChunkStream>, GatewayError>> + Send + 'static,
        patience: Duration,
    ) -> Result<Beginning, GatewayError> {
        let (answer, mut held) = Held::listen(answer);
        let mut answer: BoxFuture<'static, _> = Box::pin(answer);
        let impatient = async {
            tokio::time::sleep(patience).await;
            held.waits().await;
        };
        tokio::select! {
            biased;
            begun = &mut answer => begun.map(Beginning::Begun),
            () = impatient => Ok(Beginning::Held(Self { answer, held })),
        }
    }

    /// What it waits for.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// The answer, once it begins.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ChunkStream, GatewayError>> {
        let begun = self.answer.as_mut().poll(context);
        begun.map_ok(|answered| answered.answer)
    }
}

/// The engine of a model; waited for where that is how the model is loaded.
pub(super) async fn engine(model: &str, slot: &ModelSlot) -> Result<Lease, GatewayError> {
    let mut states = slot.subscribe();
    loop {
        if let Some(lease) = slot.lease() {
            tell(None);
            return Ok(lease);
        }
        let state = states.borrow_and_update().clone();
        match state {
            // It may be there again by now.
            SlotState::Ready(..) => {}
            SlotState::Failed { .. } if slot.is_resting() || !slot.is_on_demand() => {
                // The cause may name files of the host; the log and the management port have it.
                return Err(GatewayError::ModelUnavailable {
                    model: model.to_owned(),
                    reason: "it failed to load; see the gateway's status".into(),
                });
            }
            SlotState::Pending
            | SlotState::Fetching(_)
            | SlotState::Importing(_)
            | SlotState::Loading
            | SlotState::Standby
                if !slot.holds_requests() =>
            {
                return Err(GatewayError::ModelNotReady {
                    model: model.to_owned(),
                    state: state.label().to_owned(),
                    retry_after: LOAD_PAUSE,
                });
            }
            state => {
                tell(Some(words(model, &state)));
                if states.changed().await.is_err() {
                    return Err(GatewayError::Internal);
                }
            }
        }
    }
}

fn words(model: &str, state: &SlotState) -> String {
    let progress = state
        .progress()
        .map_or_else(String::new, |progress| format!(", {progress}"));
    format!("model {model} is {}{progress}", state.label())
}

fn tell(words: Option<String>) {
    // Where nobody listens, nobody is told.
    let _ = HELD.try_with(|held| held.send_replace(words));
}
