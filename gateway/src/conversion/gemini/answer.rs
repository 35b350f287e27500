//! A whole answer of Gemini as a chat completion.

use serde_json::{Map, Value};

use super::candidate::{Candidate, Generated};
use super::usage::Counted;
use crate::conversion::Fault;
use crate::types::{ChatCompletion, Choice, completion_id, unix_seconds};

/// Read an answer.
pub fn completion(body: &[u8]) -> Result<ChatCompletion, Fault> {
    let generated: Generated =
        serde_json::from_slice(body).map_err(|_| Fault::Malformed("no generated content"))?;
    let id = match generated.response_id.as_str() {
        "" => completion_id(),
        id => id.to_owned(),
    };
    let choices = match generated.refusal() {
        Some(refusal) => vec![refused(refusal)],
        None => generated
            .candidates
            .into_iter()
            .map(|candidate| choice(candidate, &id))
            .collect::<Result<_, _>>()?,
    };
    Ok(ChatCompletion {
        id,
        object: "chat.completion".to_owned(),
        created: unix_seconds(),
        model: generated.model_version,
        choices,
        usage: generated.usage_metadata.map(Counted::usage),
        extra: Map::new(),
    })
}

fn choice(candidate: Candidate, id: &str) -> Result<Choice, Fault> {
    let index = candidate.index;
    let said = candidate.said(id, 0)?;
    let content = (!said.text.is_empty() || said.calls.is_empty()).then_some(said.text);
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), content.into());
    if !said.thoughts.is_empty() {
        message.insert("reasoning_content".into(), said.thoughts.into());
    }
    if !said.calls.is_empty() {
        message.insert("tool_calls".into(), said.calls.into());
    }
    let mut extra = Map::new();
    extra.extend(
        said.log_probabilities
            .map(|tokens| ("logprobs".to_owned(), tokens)),
    );
    Ok(Choice {
        index,
        message,
        finish_reason: said.finish_reason,
        extra,
    })
}

fn refused(refusal: String) -> Choice {
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), Value::Null);
    message.insert("refusal".into(), refusal.into());
    Choice {
        index: 0,
        message,
        finish_reason: Some("content_filter".to_owned()),
        extra: Map::new(),
    }
}
