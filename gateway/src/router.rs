//! Which path goes where, behind which layers. The list of endpoints is this file.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use http::Method;
use tower::ServiceBuilder;

use crate::handlers::{
    chat_completions, messages, models, openapi, passed_on, responses, route_paths,
};
use crate::{AppState, channel, middleware, routing};

/// The description of the API.
const OPENAPI: &str = "/openapi.json";

/// The router of the public port.
pub fn build_router(state: AppState) -> Router {
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(state.clone(), around_everything))
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
    endpoints()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler)
        })
        .route("/v1/responses/{*rest}", any(responses::stored))
        .method_not_allowed_fallback(route_paths::method_not_allowed)
        .fallback(route_paths::create)
        .layer(from_fn_with_state(state.clone(), for_callers))
}

/// What stands around every handler, from the outside in: one layer, since each of the router's costs every request its
/// memory.
async fn around_everything(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let state = &state;
    // First, so that every answer and every log line carries the name of its request.
    middleware::identify(request, |request| {
        // Outside of the panic layer: a request that panicked is counted and logged as well.
        middleware::observe(state, request, |request| {
            // Outside of everything that refuses, so that Anthropic's clients understand every refusal.
            middleware::speak(request, |request| {
                // A panic in a handler answers 500 and costs nothing else.
                middleware::contain_panic(request, |request| {
                    // Before anything else of a request is read. Channels, too, serve only whom the gateway does.
                    middleware::locate(state, request, |request| {
                        // Before anything reads a body.
                        middleware::limit_body(state, request, |request| {
                            middleware::refuse_compressed(request, |request| next.run(request))
                        })
                    })
                })
            })
        })
    })
    .await
}

/// Deny by default; only `channel::router` stays outside.
async fn for_callers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let state = &state;
    middleware::authenticate(state, request, |request| {
        // After authentication, because limits are each caller's own, and strangers must not use them up.
        middleware::limit_rate(state, request, |request| next.run(request))
    })
    .await
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
