//! The place of one local model: what it is made of, and how far it is.

use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::{DeviceConfig, LocalModelConfig};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Engine, EngineInfo, LoadProgress};

/// What makes two models the same: nothing is loaded twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// Files, quantization, context.
    pub model: LocalModelConfig,
    /// Where it runs.
    pub device: DeviceConfig,
}

/// A local model, from its first mention to the last request that uses it.
///
/// Configurations and requests share it; with the last of them it goes, and its loading is cancelled.
pub struct ModelSlot {
    key: SlotKey,
    state: watch::Sender<SlotState>,
    cancelled: CancellationToken,
    _cancel_on_drop: DropGuard,
}

/// How far a model is.
#[derive(Clone)]
pub enum SlotState {
    /// Waiting for its turn.
    Pending,
    /// Its file is on its way.
    Fetching {
        /// Bytes received.
        done: u64,
        /// Bytes in all, where the server said.
        total: Option<u64>,
    },
    /// Being turned into a model directory.
    Importing(LoadProgress),
    /// Being loaded and warmed.
    Loading,
    /// Answers.
    Ready(Arc<dyn Engine>, EngineInfo),
    /// Did not load; another attempt follows.
    Failed {
        /// Why, with causes.
        error: String,
        /// How many times in a row.
        attempts: u32,
        /// Pause before the next attempt.
        retry_in: Duration,
    },
}

impl ModelSlot {
    pub(crate) fn new(key: SlotKey) -> Self {
        let cancelled = CancellationToken::new();
        Self {
            key,
            state: watch::Sender::new(SlotState::Pending),
            _cancel_on_drop: cancelled.clone().drop_guard(),
            cancelled,
        }
    }

    /// What it is made of.
    pub fn key(&self) -> &SlotKey {
        &self.key
    }

    /// How far it is now.
    pub fn state(&self) -> SlotState {
        self.state.borrow().clone()
    }

    /// Follow its progress.
    pub fn subscribe(&self) -> watch::Receiver<SlotState> {
        self.state.subscribe()
    }

    pub(super) fn publisher(&self) -> watch::Sender<SlotState> {
        self.state.clone()
    }

    pub(super) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }
}

impl SlotState {
    /// One word for metrics and status.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetching { .. } => "fetching",
            Self::Importing(_) => "importing",
            Self::Loading => "loading",
            Self::Ready(..) => "ready",
            Self::Failed { .. } => "failed",
        }
    }

    /// Every [`label`](Self::label) there is.
    pub const LABELS: [&str; 6] = [
        "pending",
        "fetching",
        "importing",
        "loading",
        "ready",
        "failed",
    ];

    /// How far, in words.
    pub fn progress(&self) -> Option<String> {
        match self {
            Self::Fetching {
                done,
                total: Some(total),
            } => Some(format!("{done} of {total} bytes")),
            Self::Fetching { done, total: None } => Some(format!("{done} bytes")),
            Self::Importing(LoadProgress { step, done, total }) => {
                Some(format!("{step}, {done} of {total} bytes"))
            }
            Self::Failed { attempts, .. } => Some(format!("attempt {attempts} failed")),
            Self::Pending | Self::Loading | Self::Ready(..) => None,
        }
    }
}

impl std::fmt::Debug for ModelSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelSlot")
            .field("key", &self.key)
            .field("state", &self.state().label())
            .finish_non_exhaustive()
    }
}
