//! Which path goes where, behind which layers. The list of endpoints is this file.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use http::Method;
use tower::Service as _;

use crate::handlers::{
    chat_completions, messages, models, openapi, passed_on, responses, route_paths,
};
use crate::{AppState, channel, middleware, routing};

/// The description of the API.
const OPENAPI: &str = "/openapi.json";

/// What answers on the public port.
#[derive(Clone)]
pub struct App {
    state: AppState,
    routes: Router,
}

impl App {
    /// Everything that a gateway serves.
    pub fn new(state: AppState) -> Self {
        let routes = api(&state)
            // Webhooks bring credentials of their platforms, and WebSocket clients theirs; channels check them.
            .merge(channel::router())
            // It tells what every gateway has, and nothing of this one.
            .route(
                OPENAPI,
                get(openapi::show).fallback(route_paths::method_not_allowed),
            )
            .with_state(state.clone());
        Self { state, routes }
    }

    /// What stands around every handler, from the outside in. Around the router rather than layers of it, each of which
    /// would cost every request its memory.
    pub async fn answer(self, request: Request) -> Response {
        let Self { state, mut routes } = self;
        let state = &state;
        // First, so that every answer and every log line carries the name of its request.
        middleware::identify(request, move |request| {
            // Outside of the panic layer: a request that panicked is counted and logged as well.
            middleware::observe(state, request, move |request| {
                // Outside of everything that refuses, so that Anthropic's clients understand every refusal.
                middleware::speak(request, move |request| {
                    // A panic in a handler answers 500 and costs nothing else.
                    middleware::contain_panic(request, move |request| {
                        // Before anything else of a request is read. Channels, too, serve only whom the gateway does.
                        middleware::locate(state, request, move |request| {
                            // Before anything reads a body.
                            middleware::limit_body(state, request, move |request| {
                                middleware::refuse_compressed(request, move |request| async move {
                                    let Ok(response) = routes.call(request).await;
                                    response
                                })
                            })
                        })
                    })
                })
            })
        })
        .await
    }
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
