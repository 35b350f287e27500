//! `POST /v1/completions`, `POST /v1/embeddings` and `POST /v1/rerank`: bodies that remote APIs get as they came, but for
//! the model's name.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::answer::{self, Answer, ask, tell};
use super::{body, event_stream};
use crate::AppState;
use crate::error::GatewayError;
use crate::types::{ChatCompletion, ChatRequest, Task, WholeAnswer, parse_object, text_completion};

/// Go on with a text.
pub async fn complete(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    answer(state, Task::Complete, request).await
}

/// Turn texts into vectors.
pub async fn embed(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    answer(state, Task::Embed, request).await
}

/// Sort documents by what they say about a question.
pub async fn rerank(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    answer(state, Task::Rerank, request).await
}

async fn answer(state: &AppState, task: Task, request: Request) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let body = parse_object(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let request = ChatRequest::of_task(task, body)?;
    let given = ask(state, &runtime, &parts, &request).await?;
    let response = match given.answer {
        Answer::Whole(answer) if task == Task::Complete => {
            Json(text_completion(answer.read()?)).into_response()
        }
        Answer::Whole(answer) => whole(answer, task),
        Answer::Pieces(chunks) => event_stream::completions(chunks),
    };
    Ok(tell(given.told, response))
}

/// Vectors or a ranking.
pub(super) fn whole(answer: WholeAnswer, task: Task) -> Response {
    match answer {
        WholeAnswer::Read(completion) => Json(told(*completion, task)).into_response(),
        sent @ WholeAnswer::Sent(_) => answer::whole(sent),
    }
}

/// What an API answered, with our name of the model and a usage.
fn told(completion: ChatCompletion, task: Task) -> Value {
    let mut answer = Value::Object(completion.extra);
    answer["model"] = completion.model.into();
    if let Some(object) = task.object() {
        answer["object"] = object.into();
    }
    if let Some(usage) = completion.usage {
        let mut told = Value::Object(usage.extra);
        told["prompt_tokens"] = usage.prompt_tokens.into();
        told["total_tokens"] = usage.total_tokens.into();
        answer["usage"] = told;
    } else {
        answer["usage"] = json!(null);
    }
    answer
}
