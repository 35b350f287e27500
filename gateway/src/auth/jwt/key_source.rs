//! An issuer's keys, as it publishes them: asked for when they are needed, kept while it is away.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Method;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::key::KeySet;
use crate::auth::Means;
use crate::auth::fetch::{self, read};
use crate::config::chain;
use crate::outbound::Outbound;

/// Older keys are asked for again, in the background.
const FRESH: Duration = Duration::from_mins(10);
/// Older keys are not believed any more: an issuer that is away for longer may have withdrawn them.
const BELIEVED: Duration = Duration::from_hours(24);
/// An issuer is asked no more often than this, whatever tokens say.
const PAUSE: Duration = Duration::from_secs(10);
/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A key set is short.
const MOST_BYTES: usize = 256 << 10;

/// Why keys did not come.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it may not be called")]
    NotAllowed(#[source] claw_crds::outbound::Refusal),
    #[error("they cannot be fetched")]
    Fetch(#[source] fetch::FetchError),
    #[error("it answered with status {0}")]
    Status(http::StatusCode),
    #[error("it did not answer within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    #[error("its answer is of no use")]
    Invalid(#[source] super::key::InvalidKeySet),
}

/// The keys behind a URL.
pub(super) struct KeySource {
    url: String,
    keys: ArcSwapOption<Fetched>,
    /// When the issuer was asked last, and the right to ask.
    asked: Mutex<Option<Instant>>,
}

struct Fetched {
    keys: Arc<KeySet>,
    at: Instant,
}

impl KeySource {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            keys: ArcSwapOption::empty(),
            asked: Mutex::new(None),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The keys, if they are known and still believed.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        let fetched = self.keys.load();
        let fetched = fetched.as_ref()?;
        (fetched.at.elapsed() < BELIEVED).then(|| Arc::clone(&fetched.keys))
    }

    /// Ask again in the background, if it is time.
    pub(super) fn keep_fresh(self: &Arc<Self>, means: &Means<'_>) {
        let is_fresh = self
            .keys
            .load()
            .as_ref()
            .is_some_and(|fetched| fetched.at.elapsed() < FRESH);
        // Somebody is asking, where the right to ask is taken.
        let may_ask = || self.asked.try_lock().is_ok_and(|asked| is_due(*asked));
        if !is_fresh && may_ask() {
            drop(self.spawn_fetch(means));
        }
    }

    /// Ask now, unless the issuer was just asked. Whoever comes meanwhile waits for the same answer.
    pub(super) async fn refresh(self: &Arc<Self>, means: &Means<'_>) {
        // Goes on without the client that made us ask: it could keep the keys away from others by leaving early.
        if let Err(error) = self.spawn_fetch(means).await {
            tracing::error!(%error, "fetching the keys of a token issuer failed");
        }
    }

    fn spawn_fetch(self: &Arc<Self>, means: &Means<'_>) -> JoinHandle<()> {
        let (source, outbound) = (Arc::clone(self), means.outbound.clone());
        means
            .tasks
            .spawn(async move { source.ask(&outbound).await })
    }

    async fn ask(&self, outbound: &Outbound) {
        let mut asked = self.asked.lock().await;
        if !is_due(*asked) {
            return;
        }
        *asked = Some(Instant::now());
        let fetched = tokio::time::timeout(TIMEOUT, self.fetch(outbound)).await;
        match fetched.unwrap_or(Err(FetchError::Timeout)) {
            Ok(keys) => self.keys.store(Some(Arc::new(Fetched {
                keys: Arc::new(keys),
                at: Instant::now(),
            }))),
            Err(error) => tracing::warn!(
                url = self.url,
                error = chain(&error),
                "the keys of a token issuer did not come"
            ),
        }
    }

    async fn fetch(&self, outbound: &Outbound) -> Result<KeySet, FetchError> {
        let request = outbound
            .request(Method::GET, &self.url)
            .map_err(FetchError::NotAllowed)?;
        let response = request.send().await;
        let response = response.map_err(|error| FetchError::Fetch(error.into()))?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = read(response, MOST_BYTES)
            .await
            .map_err(FetchError::Fetch)?;
        KeySet::parse(&body).map_err(FetchError::Invalid)
    }
}

fn is_due(asked: Option<Instant>) -> bool {
    asked.is_none_or(|asked| asked.elapsed() >= PAUSE)
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
