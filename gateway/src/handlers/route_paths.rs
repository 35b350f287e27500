//! Every path that no endpoint has: the routes' own paths, and a helpful 404 for the rest.
//!
//! What the models of a route do decides the body and the answer there.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use claw_crds::gateway_config::TaskConfig;
use http::{Method, Uri};
use serde_json::{Map, Value};

use super::answer::{Answer, ask_those, permitted, tell, whole};
use super::{body, event_stream, passed_on};
use crate::AppState;
use crate::conversion::summary;
use crate::error::GatewayError;
use crate::routing::{self, Asked};
use crate::types::{ChatRequest, Task, fields, parse_object};

/// Answer at a route's path.
pub async fn create(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, GatewayError> {
    let path = request.uri().path();
    if !state.peek().routes.serves(path) {
        return Err(routing::unknown_path(path));
    }
    if request.method() != Method::POST {
        return Err(GatewayError::MethodNotAllowed {
            method: request.method().clone(),
            path: path.to_owned(),
            allow: "POST",
        });
    }
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let body = parse_object(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let model = fields::string(&body, "model")?;
    let asked = Asked {
        path: parts.uri.path(),
        model: model.as_deref(),
        headers: &parts.headers,
    };
    let candidates = permitted(&runtime, &parts, asked)?;
    let task = candidates.rule.map(|rule| rule.task).unwrap_or_default();
    let request = read(task, body)?;
    let given = ask_those(&state, &runtime, &parts, &candidates, &request).await?;
    Ok(tell(given.told, respond(task, given.answer)?))
}

/// The request in a body of this task.
fn read(task: TaskConfig, body: Map<String, Value>) -> Result<ChatRequest, GatewayError> {
    let (needed, said): (&[&str], _) = match task {
        TaskConfig::Chat => (&["messages"], "`messages`"),
        TaskConfig::Summarize => (&["text", "messages"], "`text` or `messages`"),
        TaskConfig::Embed => (&["input"], "`input`"),
        TaskConfig::Rerank => (&["query", "documents"], "`query` and `documents`"),
    };
    if needed
        .iter()
        .all(|field| fields::present(&body, field).is_none())
    {
        let (field, task) = (needed[0], task.as_str());
        return Err(GatewayError::invalid(
            field,
            format!("`{field}` is missing: the task of this path is {task}, so send {said}"),
        ));
    }
    match task {
        TaskConfig::Chat => ChatRequest::from_object(body),
        TaskConfig::Summarize => summary::chat_request(body),
        TaskConfig::Embed => ChatRequest::of_task(Task::Embed, body),
        TaskConfig::Rerank => ChatRequest::of_task(Task::Rerank, body),
    }
}

fn respond(task: TaskConfig, answer: Answer) -> Result<Response, GatewayError> {
    Ok(match (task, answer) {
        (TaskConfig::Chat, Answer::Whole(answer)) => whole(answer),
        (TaskConfig::Summarize, Answer::Whole(answer)) => {
            Json(summary::summary(answer.read()?)).into_response()
        }
        (TaskConfig::Embed, Answer::Whole(answer)) => passed_on::whole(answer, Task::Embed),
        (TaskConfig::Rerank, Answer::Whole(answer)) => passed_on::whole(answer, Task::Rerank),
        (TaskConfig::Summarize, Answer::Pieces(chunks)) => event_stream::summaries(chunks),
        // Vectors and rankings come whole.
        (TaskConfig::Chat | TaskConfig::Embed | TaskConfig::Rerank, Answer::Pieces(chunks)) => {
            event_stream::chat(chunks)
        }
    })
}

/// An endpoint's path with a method that it does not have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> GatewayError {
    let path = uri.path();
    let is_read = path == "/openapi.json" || path == "/v1/models";
    let allow = if is_read || path.starts_with("/v1/models/") {
        "GET"
    } else {
        "POST"
    };
    GatewayError::MethodNotAllowed {
        method,
        path: uri.path().to_owned(),
        allow,
    }
}
