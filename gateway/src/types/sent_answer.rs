//! A whole answer in the bytes of the API that gave it.
//!
//! Most answers go to clients that speak the API's own dialect. What the gateway has to know of one is found in its text;
//! the rest is neither taken apart nor put together again, and reaches the client as it was written: numbers to their last
//! digit, and fields of tomorrow in their place.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::place::place;
use super::{ChatCompletion, Task, Usage};
use crate::error::GatewayError;

/// An answer that has all that clients are promised.
#[derive(Clone, Debug, PartialEq)]
pub struct SentAnswer {
    body: Bytes,
    /// Where in the body the model's name stands, with its quotes.
    name: Range<usize>,
    /// The model's name for clients, where it is not the API's.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

impl SentAnswer {
    /// An answer that can be passed on as it is, but for the model's name. None where anything is missing, or is not as
    /// clients expect it: whoever reads it field by field finds out what to do about it.
    pub fn of(task: Task, body: &Bytes) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let known: Known<'_> = serde_json::from_str(text).ok()?;
        if !known.is_complete(task) {
            return None;
        }
        Some(Self {
            body: body.clone(),
            name: place(text, known.model),
            model: None,
            usage: known.usage.counted(),
        })
    }

    /// The answer field by field. What was found complete can be read so, unless it is too deep: then the model called
    /// `model` is to blame.
    pub fn read(&self, model: &str) -> Result<ChatCompletion, GatewayError> {
        let completion = serde_json::from_slice(&self.body);
        let mut completion: ChatCompletion =
            completion.map_err(|_| GatewayError::UpstreamMalformed {
                model: model.to_owned(),
                what: "no chat completion",
            })?;
        if let Some(model) = &self.model {
            completion.model.clone_from(model);
        }
        Ok(completion)
    }

    /// The bytes for clients.
    pub fn body(&self) -> Bytes {
        let Some(model) = &self.model else {
            return self.body.clone();
        };
        // Letters that JSON escapes are rare in names.
        let mut told = BytesMut::with_capacity(self.body.len() + model.len() + 16);
        told.put_slice(&self.body[..self.name.start]);
        let mut told = told.writer();
        let written = serde_json::to_writer(&mut told, model);
        written.expect("text can be written into memory");
        let mut told = told.into_inner();
        told.put_slice(&self.body[self.name.end..]);
        told.freeze()
    }
}

/// What is known of an answer, with the types that its fields have to have.
#[derive(Deserialize)]
struct Known<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
    created: Option<u64>,
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow, default)]
    choices: Vec<KnownChoice<'a>>,
    // What is ignored takes no memory, however long the list.
    data: Option<Vec<IgnoredAny>>,
    results: Option<Vec<IgnoredAny>>,
    usage: KnownUsage,
}

#[derive(Deserialize)]
struct KnownChoice<'a> {
    #[serde(rename = "index")]
    _index: u32,
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(borrow, rename = "finish_reason")]
    _finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct KnownUsage {
    prompt_tokens: u64,
    completion_tokens: Option<u64>,
    total_tokens: u64,
    prompt_tokens_details: Option<KnownDetails>,
}

#[derive(Deserialize)]
struct KnownDetails {
    cached_tokens: Option<u64>,
}

impl KnownChoice<'_> {
    /// Whether there is a message with any field.
    fn says_something(&self) -> bool {
        let object = self.message.get().strip_prefix('{');
        let fields = object.and_then(|object| object.strip_suffix('}'));
        fields.is_some_and(|fields| !fields.trim_ascii().is_empty())
    }
}

impl Known<'_> {
    /// Whether nothing of it has to be added or put right.
    fn is_complete(&self, task: Task) -> bool {
        let has_kind = task.object().is_none_or(|kind| {
            let said = self.object.as_deref();
            said == Some(kind)
        });
        let usage = &self.usage;
        // Where a prompt costs nothing, its tokens are in the sum alone.
        let has_parts = usage.prompt_tokens > 0 || usage.total_tokens == 0;
        let is_named = self.model.get().starts_with('"');
        let is_whole = match task {
            Task::Chat => {
                let has_head = self.id.is_some() && self.created.is_some();
                has_head && !self.choices.is_empty() && usage.completion_tokens.is_some()
            }
            Task::Embed => self.data.is_some(),
            Task::Rerank => self.results.is_some(),
            // What clients get is made of these.
            Task::Summarize | Task::Complete => false,
        };
        let says_something = self.choices.iter().all(KnownChoice::says_something);
        has_kind && has_parts && is_named && says_something && is_whole
    }
}

impl KnownUsage {
    fn counted(self) -> Usage {
        let details = self.prompt_tokens_details;
        let cached = details.and_then(|details| details.cached_tokens);
        let usage = Usage {
            total_tokens: self.total_tokens,
            ..Usage::new(self.prompt_tokens, self.completion_tokens.unwrap_or(0))
        };
        match cached {
            None | Some(0) => usage,
            Some(tokens) => usage.with_cached(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn chat() -> Value {
        json!({
            "id": "c1", "object": "chat.completion", "created": 7, "model": "far\nmodel", "novel": [1.10, {"model": "x"}],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi \"you\""}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                      "prompt_tokens_details": {"cached_tokens": 1}},
        })
    }

    fn sent(task: Task, body: &Value) -> Option<SentAnswer> {
        SentAnswer::of(task, &Bytes::from(body.to_string()))
    }

    #[test]
    fn everything_but_the_name_goes_on_as_it_came() {
        let text = chat().to_string();
        let text = format!("\n\n {}", text.replace(":7,", ": 7 ,"));
        let mut answer = SentAnswer::of(Task::Chat, &Bytes::from(text.clone())).expect("complete");
        assert_eq!(answer.usage, Usage::new(3, 2).with_cached(1));
        assert_eq!(answer.body(), text);
        assert_eq!(answer.read("m").expect("readable").model, "far\nmodel");
        answer.model = Some("near \"one\"".to_owned());
        let expected = text.replace(r#""far\nmodel""#, r#""near \"one\"""#);
        assert_eq!(answer.body(), expected);
        let read = answer.read("m").expect("readable");
        assert_eq!(
            json!(read),
            serde_json::from_str::<Value>(&expected).expect("JSON")
        );
    }

    #[test]
    fn vectors_keep_their_digits() {
        let text = r#"{"object":"list","data":[{"embedding":[0.10000000149011612, 1e-08]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
        let mut answer = SentAnswer::of(Task::Embed, &Bytes::from(text)).expect("complete");
        answer.model = Some("m".to_owned());
        assert_eq!(answer.body(), text);
        assert!(SentAnswer::of(Task::Chat, &Bytes::from(text)).is_none());
    }

    #[rstest]
    #[case::no_name("/model", None)]
    #[case::name_of_another_type("/model", Some(json!(7)))]
    #[case::no_id("/id", None)]
    #[case::no_time("/created", None)]
    #[case::time_of_another_type("/created", Some(json!(1.5)))]
    #[case::another_object("/object", Some(json!("list")))]
    #[case::no_choices("/choices", Some(json!([])))]
    #[case::choices_of_another_type("/choices", Some(json!("x")))]
    #[case::no_message("/choices/0/message", None)]
    #[case::empty_message("/choices/0/message", Some(json!({})))]
    #[case::message_of_another_type("/choices/0/message", Some(json!("hi")))]
    #[case::no_index("/choices/0/index", None)]
    #[case::reason_of_another_type("/choices/0/finish_reason", Some(json!(1)))]
    #[case::no_usage("/usage", None)]
    #[case::usage_of_nothing("/usage", Some(Value::Null))]
    #[case::part_of_a_usage("/usage/completion_tokens", None)]
    #[case::a_sum_alone("/usage/prompt_tokens", Some(json!(0)))]
    fn what_is_not_as_it_should_be_is_for_others(
        #[case] place: &str,
        #[case] value: Option<Value>,
    ) {
        let mut body = chat();
        if let Some(value) = value {
            *body.pointer_mut(place).expect("there") = value;
        } else {
            let (parent, field) = place.rsplit_once('/').expect("a place");
            let parent = body.pointer_mut(parent).expect("there");
            let removed = parent.as_object_mut().expect("an object").remove(field);
            removed.expect("was there");
        }
        assert_eq!(sent(Task::Chat, &body), None);
    }

    #[test]
    fn what_is_no_json_or_says_nothing_is_for_others() {
        let text = chat().to_string();
        for body in [
            &text.as_bytes()[..text.len() - 1],
            format!("{text} x").as_bytes(),
            &text.replace("hi", "\u{1}").into_bytes(),
            &[text.as_bytes(), b"\xff"].concat(),
            text.replacen('{', r#"{"id":"c0","#, 1).as_bytes(),
            br#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{ }}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#,
        ] {
            let body = Bytes::copy_from_slice(body);
            assert_eq!(SentAnswer::of(Task::Chat, &body), None, "{body:?}");
        }
    }
}
