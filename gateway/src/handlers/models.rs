//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::AppState;
use crate::config::ModelEntry;
use crate::error::GatewayError;
use crate::routing;

/// All models.
#[derive(Serialize)]
pub struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Serialize)]
pub struct Model {
    id: String,
    object: &'static str,
    /// Configurations do not date models; clients only want the field to exist.
    created: u64,
    owned_by: &'static str,
}

impl From<&ModelEntry> for Model {
    fn from(entry: &ModelEntry) -> Self {
        Self {
            id: entry.name.clone(),
            object: "model",
            created: 0,
            owned_by: entry.backend.label(),
        }
    }
}

/// List the models.
pub async fn list(State(state): State<AppState>) -> Json<ModelList> {
    Json(ModelList {
        object: "list",
        data: state.peek().models.iter().map(Model::from).collect(),
    })
}

/// Show one model.
pub async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Model>, GatewayError> {
    routing::by_name(&state.peek(), &id).map(|entry| Json(entry.into()))
}
