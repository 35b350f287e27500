//! `GET /v1/models` and `GET /v1/models/{id}`. The aliases of routes are models, too.

use axum::Extension;
use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;

use crate::AppState;
use crate::auth::Caller;
use crate::config::ModelEntry;
use crate::error::GatewayError;
use crate::routing;

/// All models.
#[derive(Serialize, JsonSchema)]
pub struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Serialize, JsonSchema)]
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

/// List the models that the caller may use.
pub async fn list(
    State(state): State<AppState>,
    Extension(Caller { grant, .. }): Extension<Caller>,
) -> Json<ModelList> {
    let runtime = state.peek();
    let models = runtime.models.iter().map(Model::from);
    Json(ModelList {
        object: "list",
        data: models
            .chain(routing::aliases(&runtime).map(Model::alias))
            .filter(|model| grant.allows_model(&model.id))
            .collect(),
    })
}

/// Show one model.
pub async fn show(
    State(state): State<AppState>,
    Extension(Caller { grant, .. }): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Model>, GatewayError> {
    let runtime = state.peek();
    if !grant.allows_model(&id) {
        return Err(grant.unknown(&id));
    }
    if routing::aliases(&runtime).any(|alias| alias == id) {
        return Ok(Json(Model::alias(&id)));
    }
    routing::by_name(&runtime, &id)
        .map(|entry| Json(entry.into()))
        .map_err(|error| grant.veiled(error))
}
