//! One model of a running configuration.

use std::sync::Arc;

use claw_crds::gateway_config::RemoteModelConfig;

use crate::dispatch::RetryBudget;
use crate::models::ModelSlot;
use crate::provider::{Health, KeyRing};

/// A model under the name that clients use.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Its name.
    pub name: String,
    /// What answers.
    pub backend: Backend,
    /// How many requests for it are repetitions, as long as its name stays the same.
    pub retry_budget: Arc<RetryBudget>,
}

/// What answers for a model.
#[derive(Clone, Debug)]
pub enum Backend {
    /// An engine in this process.
    Local(Arc<ModelSlot>),
    /// An API elsewhere.
    Remote(Remote),
    /// Nothing, for this reason.
    Unavailable {
        /// What is wrong, safe to show.
        reason: String,
    },
}

/// An API elsewhere.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where it is.
    pub config: RemoteModelConfig,
    /// How it has been, as long as its configuration stays the same.
    pub health: Arc<Health>,
    /// How its keys have been, for as long.
    pub keys: Arc<KeyRing>,
}

impl Backend {
    /// One word for status.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Remote(_) => "remote",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}
