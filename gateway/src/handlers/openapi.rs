//! `GET /openapi.json`, for everybody.

use axum::response::IntoResponse;

use crate::openapi;

/// The description of the API, the same for every gateway of this version.
pub async fn show() -> impl IntoResponse {
    static DOCUMENT: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| openapi::document().to_string());
    ([("content-type", "application/json")], DOCUMENT.as_str())
}
