//! `POST /admin/models/{name}/warm`: load a model before somebody waits for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Management;
use crate::config::Backend;
use crate::models::{ModelSlot, SlotState};

/// The end of the path, after the name of a model, which may have slashes itself.
const WARM: &str = "/warm";

/// Load a model, and answer when it is loaded or has failed.
pub(super) async fn warm(
    State(management): State<Arc<Management>>,
    Path(path): Path<String>,
) -> Response {
    let Some(name) = path.strip_suffix(WARM) else {
        let told = json!({"error": format!("nothing is at this path; POST /admin/models/NAME{WARM} loads a model")});
        return respond(StatusCode::NOT_FOUND, told);
    };
    let Some(runtime) = management.current() else {
        let told = json!({"error": "there is no configuration yet"});
        return respond(StatusCode::SERVICE_UNAVAILABLE, told);
    };
    let slot = match runtime.model(name).map(|entry| &entry.backend) {
        Some(Backend::Local(slot)) => Arc::clone(slot),
        Some(Backend::Remote(_)) => {
            let told = json!({"model": name, "error": "the model is behind an API, and is not loaded here"});
            return respond(StatusCode::BAD_REQUEST, told);
        }
        Some(Backend::Unavailable { reason }) => {
            let told = json!({"model": name, "state": "unavailable", "error": reason});
            return respond(StatusCode::SERVICE_UNAVAILABLE, told);
        }
        None => {
            let known: Vec<_> = runtime.models.iter().map(|entry| &*entry.name).collect();
            let told = json!({"error": format!("no model is called {name}: known are {}", known.join(", "))});
            return respond(StatusCode::NOT_FOUND, told);
        }
    };
    // As a request does, it keeps its configuration: should another one take the model away, it is loaded all the same.
    outcome(name, &slot).await
}

async fn outcome(name: &str, slot: &ModelSlot) -> Response {
    let mut states = slot.subscribe();
    slot.wake();
    loop {
        let state = states.borrow_and_update().clone();
        match state {
            SlotState::Ready(_, info) => {
                let told = json!({
                    "model": name, "state": "ready", "device": info.device, "reason": info.reason,
                });
                return respond(StatusCode::OK, told);
            }
            SlotState::Failed { error, .. } if slot.is_resting() => {
                let told = json!({"model": name, "state": "failed", "error": error});
                return respond(StatusCode::SERVICE_UNAVAILABLE, told);
            }
            _ => {
                if states.changed().await.is_err() {
                    return respond(
                        StatusCode::SERVICE_UNAVAILABLE,
                        json!({"model": name, "error": "the gateway is shutting down"}),
                    );
                }
            }
        }
    }
}

fn respond(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
