//! `GET /v1/models` and `GET /v1/models/{id}`. The aliases of routes are models, too.

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

impl Model {
    fn alias(name: &str) -> Self {
        Self {
            id: name.to_owned(),
            object: "model",
            created: 0,
            owned_by: "route",
        }
    }
}

/// List the models.
pub async fn list(State(state): State<AppState>) -> Json<ModelList> {
    let runtime = state.peek();
    let models = runtime.models.iter().map(Model::from);
    Json(ModelList {
        object: "list",
        data: models
            .chain(routing::aliases(&runtime).map(Model::alias))
            .collect(),
    })
}

/// Show one model.
pub async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Model>, GatewayError> {
    let runtime = state.peek();
    if routing::aliases(&runtime).any(|alias| alias == id) {
        return Ok(Json(Model::alias(&id)));
    }
    routing::by_name(&runtime, &id).map(|entry| Json(entry.into()))
}
