//! What every handler shares.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::Guard;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::auth::Attempts;
use crate::channel::Channels;
use crate::config::{RuntimeConfig, SharedRuntime};
use crate::dispatch::Dispatcher;
use crate::limits::Limiter;
use crate::mailbox::PostOffice;
use crate::metrics::Metrics;
use crate::middleware::RateLimits;
use crate::outbound::Outbound;
use crate::respond::Respond;

/// A running gateway. A clone is one reference: every request makes several.
#[derive(Clone)]
pub struct AppState(Arc<AppParts>);

/// The parts of a running gateway.
pub struct AppParts {
    /// The configuration in force; see [`runtime`](Self::runtime).
    pub shared_runtime: SharedRuntime,
    /// Answers the conversations of channels.
    pub respond: Arc<dyn Respond>,
    /// Answers requests.
    pub dispatcher: Arc<Dispatcher>,
    /// Who failed to call.
    pub attempts: Arc<Attempts>,
    /// What callers have used of their limits per second.
    pub rate_limits: Arc<RateLimits>,
    /// What callers have used of their other limits.
    pub limiter: Arc<Limiter>,
    /// What channels share.
    pub channels: Arc<Channels>,
    /// Where the messages of channels are kept.
    pub mail: Arc<PostOffice>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The way out, to what the configuration in force allows.
    pub outbound: Outbound,
    /// What is recorded of everything.
    pub audit: Arc<Audit>,
    /// Every task that shutdown waits for.
    pub tasks: TaskTracker,
    /// Cancelled when the gateway begins to drain.
    pub shutdown: CancellationToken,
}

impl From<AppParts> for AppState {
    fn from(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

impl AppParts {
    /// A snapshot of the configuration, to be kept for a whole request.
    pub fn runtime(&self) -> Arc<RuntimeConfig> {
        self.shared_runtime.load_full()
    }

    /// A short look at the configuration; not to be held across an await.
    pub fn peek(&self) -> Guard<Arc<RuntimeConfig>> {
        self.shared_runtime.load()
    }
}
