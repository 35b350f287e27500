//! The way of a request to its handler: what it passes, and which path goes where. The list of endpoints is this file.

use std::pin::pin;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use futures::future::BoxFuture;
use http::Method;
use tower::Service as _;

use crate::error::GatewayError;
use crate::handlers::{
    chat_completions, messages, models, openapi, passed_on, responses, route_paths,
};
use crate::middleware::{Dialect, Observation, RequestId};
use crate::{AppState, channel, middleware, routing};

/// The description of the API.
const OPENAPI: &str = "/openapi.json";

/// What answers on the public port.
#[derive(Clone)]
pub struct App {
    state: AppState,
    /// For everybody.
    open: Router,
    /// For holders of an API key: all other paths.
    api: Router,
}

impl App {
    /// Everything that a gateway serves.
    pub fn new(state: AppState) -> Self {
        // Webhooks bring credentials of their platforms, and WebSocket clients theirs; channels check them. The
        // description tells what every gateway has, and nothing of this one.
        let open = channel::router()
            .route(
                OPENAPI,
                get(openapi::show).fallback(route_paths::method_not_allowed),
            )
            .with_state(state.clone());
        let api = api().with_state(state.clone());
        Self { state, open, api }
    }

    /// The way of every request, from the outside in and out again.
    ///
    /// What is inside is pinned where it begins: each wrapper that took it by value would cost every request its length.
    pub async fn answer(self, request: Request) -> Response {
        // First, so that every answer and every log line carries the name of its request.
        let id = RequestId::of(&request);
        // Before everything that refuses, so that Anthropic's clients understand every refusal.
        let dialect = Dialect::of(&request);
        let mut observation = Observation::begin(&self.state, &request, &id);
        let response = {
            let answer = pin!(self.bounded(request));
            // A panic in a handler answers 500 and costs nothing else; the request is counted and logged as well.
            let answer = pin!(middleware::contain_panic(answer));
            observation.watch(answer).await
        };
        let response = dialect.speak(response, &id);
        id.tell(observation.answered(response))
    }

    /// What holds for whoever asks, whatever for.
    async fn bounded(&self, mut request: Request) -> Response {
        // Before anything else of a request is read. Channels, too, serve only whom the gateway does.
        if let Err(error) = middleware::locate(&self.state, &mut request) {
            return error.into_response();
        }
        // Before anything reads a body.
        let rest = middleware::limit_body(&self.state, &mut request);
        let outcome = self.admitted(request).await;
        let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
        if let Some(rest) = rest {
            rest.discard(&mut response).await;
        }
        response
    }

    /// Deny by default: also what is in no list needs a key.
    async fn admitted(&self, mut request: Request) -> Result<Response, GatewayError> {
        let state = &self.state;
        middleware::refuse_large(state, &request)?;
        middleware::refuse_compressed(&request)?;
        let mut routes = if is_open(request.uri().path()) {
            self.open.clone()
        } else {
            middleware::authenticate(state, &mut request).await?;
            // After authentication, because limits are each caller's own, and strangers must not use them up.
            middleware::limit_rate(state, &mut request)?;
            if let Some(ask) = asks_model(&request) {
                return ask(state, request).await;
            }
            self.api.clone()
        };
        let Ok(response) = routes.call(request).await;
        Ok(response)
    }
}

/// Whether a path needs no key of ours.
fn is_open(path: &str) -> bool {
    path == OPENAPI || channel::serves(path)
}

/// Answers a request that asks a model.
type Ask = for<'a> fn(&'a AppState, Request) -> BoxFuture<'a, Result<Response, GatewayError>>;

/// What asks a model, all by POST; the most asked first.
const ASKS: [(&str, Ask); 7] = [
    (routing::CHAT_COMPLETIONS, |state, request| {
        Box::pin(chat_completions::create(state, request))
    }),
    (routing::EMBEDDINGS, |state, request| {
        Box::pin(passed_on::embed(state, request))
    }),
    (routing::MESSAGES, |state, request| {
        Box::pin(messages::create(state, request))
    }),
    (routing::RESPONSES, |state, request| {
        Box::pin(responses::create(state, request))
    }),
    (routing::COMPLETIONS, |state, request| {
        Box::pin(passed_on::complete(state, request))
    }),
    (routing::RERANK, |state, request| {
        Box::pin(passed_on::rerank(state, request))
    }),
    ("/v1/messages/count_tokens", |state, request| {
        Box::pin(messages::count_tokens(state, request))
    }),
];

/// How a request is answered that asks a model. A router finds it as well, at a fortieth of what the whole request costs.
fn asks_model(request: &Request) -> Option<Ask> {
    let path = request.uri().path();
    let (_, ask) = ASKS.into_iter().find(|(known, _)| *known == path)?;
    (request.method() == Method::POST).then_some(ask)
}

/// What tells of the gateway, by GET.
fn views() -> [(&'static str, MethodRouter<AppState>); 2] {
    [
        ("/v1/models", get(models::list)),
        ("/v1/models/{*id}", get(models::show)),
    ]
}

/// What else is behind a key.
fn api() -> Router<AppState> {
    let asks = ASKS
        .into_iter()
        .map(|(path, _)| (path, any(route_paths::method_not_allowed)));
    let routes = asks.chain(views());
    routes
        .fold(Router::new(), |router, (path, handler)| {
            router.route(path, handler)
        })
        .route("/v1/responses/{*rest}", any(responses::stored))
        .method_not_allowed_fallback(route_paths::method_not_allowed)
        .fallback(route_paths::create)
}

#[cfg(test)]
mod tests;
