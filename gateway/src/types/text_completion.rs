//! Answers of OpenAI's older completions: the same as chats, with a text in place of a message.

use serde_json::{Map, Value, json};

use super::{ChatChunk, ChatCompletion};

/// A whole answer.
pub fn text_completion(completion: ChatCompletion) -> Value {
    let choices: Vec<Value> = completion
        .choices
        .into_iter()
        .map(|choice| {
            let said = choice.message.get("content").cloned();
            self::choice(choice.index, choice.finish_reason, choice.extra, said)
        })
        .collect();
    let mut answer = Value::Object(completion.extra);
    answer["id"] = completion.id.into();
    answer["object"] = "text_completion".into();
    answer["created"] = completion.created.into();
    answer["model"] = completion.model.into();
    answer["choices"] = choices.into();
    answer["usage"] = json!(completion.usage);
    answer
}

/// A piece of an answer.
pub fn text_chunk(chunk: ChatChunk) -> Value {
    let choices: Vec<Value> = chunk
        .choices
        .into_iter()
        .map(|choice| {
            let said = choice.delta.content.map(Value::from);
            self::choice(choice.index, choice.finish_reason, choice.extra, said)
        })
        .collect();
    let mut answer = Value::Object(chunk.extra);
    answer["id"] = chunk.id.into();
    answer["object"] = "text_completion".into();
    answer["created"] = chunk.created.into();
    answer["model"] = chunk.model.into();
    answer["choices"] = choices.into();
    if let Some(usage) = chunk.usage {
        answer["usage"] = json!(usage);
    }
    answer
}

/// A remote API has said `text` already; an engine in this process says it as it says everything.
fn choice(
    index: u32,
    finish_reason: Option<String>,
    extra: Map<String, Value>,
    said: Option<Value>,
) -> Value {
    let mut choice = Value::Object(extra);
    choice["index"] = index.into();
    choice["finish_reason"] = finish_reason.into();
    if choice.get("text").is_none() {
        choice["text"] = said.unwrap_or_else(|| "".into());
    }
    if choice.get("logprobs").is_none() {
        choice["logprobs"] = Value::Null;
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_text_passes_and_a_local_answer_becomes_one() {
        let remote = json!({
            "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "near", "novel": 1,
            "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop", "logprobs": {"tokens": []}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        });
        let completion = serde_json::from_value(remote.clone()).expect("a completion");
        assert_eq!(text_completion(completion), remote);
        let local = json!({"id": "c", "created": 1, "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]});
        let completion = serde_json::from_value(local).expect("a completion");
        assert_eq!(
            text_completion(completion)["choices"],
            json!([{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": null}])
        );
    }

    #[test]
    fn a_piece_keeps_its_place() {
        let piece = json!({"id": "c", "created": 1, "choices": [{"index": 3, "text": "x", "finish_reason": null}]});
        let chunk = serde_json::from_value(piece).expect("a chunk");
        assert_eq!(
            text_chunk(chunk)["choices"],
            json!([{"index": 3, "text": "x", "finish_reason": null, "logprobs": null}])
        );
    }
}
