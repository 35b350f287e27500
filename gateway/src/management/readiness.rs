//! Whether the gateway should get traffic. Never a matter of chat platforms or remote APIs: their failures must not
//! take a gateway away that could still answer.

use claw_crds::gateway_config::LoadConfig;
use serde::Serialize;

use super::Management;
use crate::config::{Backend, RuntimeConfig};
use crate::models::SlotState;

/// Ready or not, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether traffic is welcome.
    pub ready: bool,
    /// What is missing, one line each.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// The state now; the first time ready is remembered.
    ///
    /// Before it, every local model has to be warm. After it, a model that a new configuration adds is loaded while
    /// the others serve: all replicas get that configuration at once, and must not leave the Service together.
    pub fn of(management: &Management) -> Self {
        let mut reasons = Vec::new();
        if management.shutdown.is_cancelled() {
            reasons.push("the gateway is shutting down".to_owned());
        }
        // At any time, unlike models: what is answered without a store may be forgotten.
        reasons.extend(management.store.fault());
        let limiter = management.limiter.as_ref();
        reasons.extend(limiter.and_then(|limiter| limiter.fault()));
        match management.current() {
            None => reasons.push(management.refused.load_full().map_or_else(
                || "no configuration yet".to_owned(),
                |error| format!("no valid configuration yet: {error}"),
            )),
            Some(runtime) if management.was_ready.get().is_none() => {
                reasons.extend(cold_models(&runtime));
            }
            Some(_) => {}
        }
        let ready = reasons.is_empty();
        if ready {
            // Whoever set it first, it is set.
            let _ = management.was_ready.set(());
        }
        Self { ready, reasons }
    }
}

fn cold_models(runtime: &RuntimeConfig) -> impl Iterator<Item = String> {
    runtime.models.iter().filter_map(|model| {
        let Backend::Local(slot) = &model.backend else {
            return None;
        };
        let name = &model.name;
        if slot.key().model.load == LoadConfig::Lazy {
            // Nothing of it need be there before somebody wants it.
            return None;
        }
        match slot.state() {
            SlotState::Ready(..) | SlotState::Standby => None,
            _ if slot.can_answer() => None,
            SlotState::Failed {
                error, attempts, ..
            } => Some(format!(
                "model {name} failed to load (attempt {attempts}): {error}"
            )),
            state @ (SlotState::Pending
            | SlotState::Fetching(_)
            | SlotState::Importing(_)
            | SlotState::Loading) => {
                let progress = state
                    .progress()
                    .map_or_else(String::new, |progress| format!(", {progress}"));
                Some(format!("model {name} is {}{progress}", state.label()))
            }
        }
    })
}
