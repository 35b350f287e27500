//! Which path goes where, behind which layers. The list of endpoints is this file.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, any, get, post};
use http::Method;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::handlers::{
    chat_completions, messages, models, openapi, passed_on, responses, route_paths,
};
use crate::{AppState, channel, middleware, routing};

/// The description of the API.
const OPENAPI: &str = "/openapi.json";

/// The router of the public port.
pub fn build_router(state: AppState) -> Router {
    let layers = ServiceBuilder::new()
        // First, so that every answer and every log line carries the name of its request.
        .layer(from_fn(middleware::identify))
        // Outside of the panic layer: a request that panicked is counted and logged as well.
        .layer(from_fn_with_state(state.clone(), middleware::observe))
        // Outside of everything that refuses, so that Anthropic's clients understand every refusal.
        .layer(from_fn(middleware::speak))
        // A panic in a handler answers 500 and costs nothing else.
        .layer(CatchPanicLayer::custom(middleware::answer_panic))
        // Before anything else of a request is read. Channels, too, serve only whom the gateway does.
        .layer(from_fn_with_state(state.clone(), middleware::locate))
        // Before anything reads a body.
        .layer(from_fn_with_state(state.clone(), middleware::limit_body))
        // Ours is the only limit, so that its answer is OpenAI-shaped.
        .layer(DefaultBodyLimit::disable());
    api(&state)
        // Webhooks bring credentials of their platforms, and WebSocket clients theirs; channels check them.
        .merge(channel::router())
        // It tells what every gateway has, and nothing of this one.
        .route(
            OPENAPI,
            get(openapi::show).fallback(route_paths::method_not_allowed),
        )
        .layer(layers)
        .with_state(state)
}

/// Everything for holders of an API key: also the fallback, so that a path outside of every list needs a key too.
fn api(state: &AppState) -> Router<AppState> {
    let layers = ServiceBuilder::new()
        // Deny by default; only `channel::router` stays outside.
        .layer(from_fn_with_state(state.clone(), middleware::authenticate))
        // After authentication, because limits are each caller's own, and strangers must not use them up.
        .layer(from_fn_with_state(state.clone(), middleware::limit_rate));
    endpoints()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler)
        })
        .route("/v1/responses/{*rest}", any(responses::stored))
        .method_not_allowed_fallback(route_paths::method_not_allowed)
        .fallback(route_paths::create)
        .layer(layers)
}

/// Method, path and handler of each.
fn endpoints() -> [(Method, &'static str, MethodRouter<AppState>); 9] {
    [
        (
            Method::POST,
            routing::CHAT_COMPLETIONS,
            post(chat_completions::create),
        ),
        (
            Method::POST,
            routing::COMPLETIONS,
            post(passed_on::complete),
        ),
        (Method::POST, routing::EMBEDDINGS, post(passed_on::embed)),
        (Method::POST, routing::MESSAGES, post(messages::create)),
        (
            Method::POST,
            "/v1/messages/count_tokens",
            post(messages::count_tokens),
        ),
        (Method::GET, "/v1/models", get(models::list)),
        (Method::GET, "/v1/models/{*id}", get(models::show)),
        (Method::POST, routing::RERANK, post(passed_on::rerank)),
        (Method::POST, routing::RESPONSES, post(responses::create)),
    ]
}

#[cfg(test)]
mod tests;
