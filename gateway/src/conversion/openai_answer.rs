//! Answers of OpenAI's form, which is the gateway's own, but for what some APIs do differently.

use bytes::Bytes;
use serde_json::Value;

use super::{Fault, Piece};
use crate::types::{ChatChunk, ChatCompletion, Choice, SentAnswer, Task, Usage, WholeAnswer};

/// Take a whole answer to what was asked for; one that can be passed on is not read.
pub fn whole(task: Task, body: &Bytes) -> Result<WholeAnswer, Fault> {
    match SentAnswer::of(task, body) {
        Some(sent) => Ok(WholeAnswer::Sent(Box::new(sent))),
        None => completion(task, body).map(WholeAnswer::from),
    }
}

fn completion(task: Task, body: &[u8]) -> Result<ChatCompletion, Fault> {
    let completion: ChatCompletion =
        serde_json::from_slice(body).map_err(|_| Fault::Malformed("no chat completion"))?;
    missing(task, &completion).map_or(Ok(completion), |what| Err(Fault::Malformed(what)))
}

fn missing(task: Task, completion: &ChatCompletion) -> Option<&'static str> {
    let choices = &completion.choices;
    let has = |field: &str| completion.extra.get(field).is_some_and(Value::is_array);
    let has_text = |choice: &Choice| choice.extra.get("text").is_some_and(Value::is_string);
    let says_nothing = |choice: &Choice| choice.message.is_empty();
    match task {
        Task::Chat | Task::Summarize if choices.iter().any(says_nothing) => {
            Some("no chat completion")
        }
        Task::Complete if !choices.iter().all(has_text) => Some("no text"),
        Task::Embed if !has("data") => Some("no embeddings"),
        Task::Rerank if !has("results") => Some("no ranking"),
        Task::Chat | Task::Summarize | Task::Complete | Task::Embed | Task::Rerank => None,
    }
}

/// Read the data of an event.
pub fn event(event: &[u8]) -> Result<Piece, Fault> {
    if event == b"[DONE]" {
        return Ok(Piece::End);
    }
    let mut chunk: ChatChunk =
        serde_json::from_slice(event).map_err(|_| Fault::Malformed("no chat completion chunk"))?;
    let error = chunk.extra.get("error");
    if error.is_some_and(|error| !error.is_null()) {
        return Err(Fault::Malformed("an error within the stream"));
    }
    if chunk.usage.is_none() {
        chunk.usage = usage_of_choice(&mut chunk);
    }
    Ok(Piece::Chunk(Box::new(chunk)))
}

/// Where Moonshot puts it.
fn usage_of_choice(chunk: &mut ChatChunk) -> Option<Usage> {
    let mut choices = chunk.choices.iter_mut();
    let usage = choices.find_map(|choice| choice.extra.remove("usage"))?;
    serde_json::from_value(usage).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversion::{golden, provider_golden};

    #[test]
    fn what_compatible_apis_do_differently_is_understood() {
        golden::check("openai_answer/golden", |input| {
            provider_golden::pieces(input, event)
        });
    }

    #[test]
    fn an_answer_after_empty_lines_is_read() {
        // What DeepSeek keeps a slow connection alive with: <https://api-docs.deepseek.com/quick_start/rate_limit>.
        let answer = b"\n\n\n{\"id\": \"1\", \"choices\": []}";
        assert_eq!(completion(Task::Chat, answer).expect("readable").id, "1");
    }
}
