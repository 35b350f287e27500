//! What an engine in this process says, as OpenAI's API says it. Pure.

use serde_json::{Map, Value, json};

use crate::models::{FinishReason, TokenLogProbabilities, TokenLogProbability, ToolCallPiece};
use crate::types::{ChatRequest, Choice, ChunkChoice, Delta, Task, fields};

/// What stands for a probability of nothing, since JSON has no infinite numbers.
const LEAST: f32 = -9999.0;

/// One answer under way.
#[derive(Debug)]
pub struct EngineAnswer {
    task: Task,
    tells_probabilities: bool,
    /// Those of tokens whose text has not come yet.
    untold: Vec<TokenLogProbabilities>,
    /// Letters that were said before the next token.
    offset: usize,
}

/// What an engine said at once.
#[derive(Debug, Default)]
pub struct Whole {
    text: String,
    calls: Vec<Value>,
}

impl EngineAnswer {
    /// To this request, which asks for one answer.
    pub fn new(request: &ChatRequest) -> Self {
        let wanted = fields::present(request.body.fields(), "logprobs");
        Self {
            task: request.task,
            tells_probabilities: wanted.is_some_and(|wanted| *wanted != Value::Bool(false)),
            untold: Vec::new(),
            offset: 0,
        }
    }

    /// How likely a token of what comes next was.
    pub fn log_probabilities(&mut self, told: TokenLogProbabilities) {
        self.untold.push(told);
    }

    /// A piece of text.
    pub fn text(&mut self, text: String) -> ChunkChoice {
        self.piece(Delta::text(text), None)
    }

    /// A piece of a call.
    pub fn call(&mut self, piece: &ToolCallPiece) -> ChunkChoice {
        let mut delta = Delta::default();
        let calls = json!([call(piece)]);
        delta.extra.insert("tool_calls".to_owned(), calls);
        self.piece(delta, None)
    }

    /// The last piece.
    pub fn end(&mut self, reason: FinishReason) -> ChunkChoice {
        self.piece(Delta::default(), Some(reason.as_str().to_owned()))
    }

    fn piece(&mut self, delta: Delta, finish_reason: Option<String>) -> ChunkChoice {
        let mut extra = Map::new();
        if let Some(told) = self.told() {
            extra.insert("logprobs".to_owned(), told);
        }
        ChunkChoice {
            delta,
            finish_reason,
            extra,
            ..ChunkChoice::default()
        }
    }

    /// The answer in one piece.
    pub fn whole(&mut self, whole: Whole, reason: FinishReason) -> Choice {
        let Whole { text, calls } = whole;
        let says_nothing = text.is_empty() && !calls.is_empty();
        let content = if says_nothing {
            Value::Null
        } else {
            text.into()
        };
        let mut message = Map::from_iter([
            ("role".to_owned(), json!("assistant")),
            ("content".to_owned(), content),
        ]);
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), calls.into());
        }
        let told = self.told();
        Choice {
            index: 0,
            message,
            finish_reason: Some(reason.as_str().to_owned()),
            extra: told
                .map(|told| ("logprobs".to_owned(), told))
                .into_iter()
                .collect(),
        }
    }

    /// The probabilities of what was said, where they are wanted.
    fn told(&mut self) -> Option<Value> {
        if !self.tells_probabilities {
            return None;
        }
        let tokens = std::mem::take(&mut self.untold);
        if tokens.is_empty() {
            return Some(Value::Null);
        }
        Some(match self.task {
            Task::Complete => self.of_text(&tokens),
            Task::Chat | Task::Summarize | Task::Embed | Task::Rerank => {
                json!({"content": tokens.iter().map(of_chat).collect::<Vec<_>>(), "refusal": null})
            }
        })
    }

    /// As OpenAI's completions of a text tell it.
    fn of_text(&mut self, tokens: &[TokenLogProbabilities]) -> Value {
        let offsets: Vec<usize> = tokens
            .iter()
            .map(|token| {
                let offset = self.offset;
                self.offset += name(&token.chosen).chars().count();
                offset
            })
            .collect();
        let top = |token: &TokenLogProbabilities| -> Map<String, Value> {
            let of = |one: &TokenLogProbability| (name(one), logarithm(one));
            token.top.iter().map(of).collect()
        };
        json!({
            "tokens": tokens.iter().map(|token| name(&token.chosen)).collect::<Vec<_>>(),
            "token_logprobs": tokens.iter().map(|token| logarithm(&token.chosen)).collect::<Vec<_>>(),
            "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
            "text_offset": offsets,
        })
    }
}

impl Whole {
    /// More text.
    pub fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// More of a call.
    pub fn call(&mut self, piece: &ToolCallPiece) {
        if piece.begin.is_some() {
            let mut call = call(piece);
            if let Some(fields) = call.as_object_mut() {
                fields.remove("index");
            }
            self.calls.push(call);
        } else if let Some(Value::String(arguments)) = self
            .calls
            .last_mut()
            .and_then(|call| call.pointer_mut("/function/arguments"))
        {
            arguments.push_str(&piece.arguments);
        }
    }
}

fn call(piece: &ToolCallPiece) -> Value {
    let ToolCallPiece {
        index,
        begin,
        arguments,
    } = piece;
    match begin {
        Some(begin) => json!({
            "id": begin.id, "index": index, "type": "function",
            "function": {"name": begin.name, "arguments": arguments},
        }),
        None => json!({"index": index, "function": {"arguments": arguments}}),
    }
}

fn of_chat(token: &TokenLogProbabilities) -> Value {
    let mut told = token_of_chat(&token.chosen);
    told["top_logprobs"] = token.top.iter().map(token_of_chat).collect();
    told
}

fn token_of_chat(token: &TokenLogProbability) -> Value {
    json!({"token": name(token), "logprob": logarithm(token), "bytes": token.bytes})
}

/// The text of a token; what is only a part of a letter is told by its bytes.
fn name(token: &TokenLogProbability) -> String {
    String::from_utf8_lossy(&token.bytes).into_owned()
}

fn logarithm(token: &TokenLogProbability) -> Value {
    token.log_probability.max(LEAST).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use claw_inference::ToolCallBegin;

    fn answer(task: Task, body: &Value) -> EngineAnswer {
        let body = body.as_object().expect("an object").clone();
        EngineAnswer::new(&ChatRequest::of_task(task, body).expect("valid"))
    }

    fn chat(logprobs: bool) -> EngineAnswer {
        let messages = json!([{"role": "user", "content": "x"}]);
        answer(
            Task::Chat,
            &json!({"messages": messages, "logprobs": logprobs}),
        )
    }

    fn token(text: &str, log_probability: f32) -> TokenLogProbability {
        TokenLogProbability {
            token: 7,
            bytes: text.as_bytes().to_vec(),
            log_probability,
        }
    }

    fn told(text: &str) -> TokenLogProbabilities {
        TokenLogProbabilities {
            chosen: token(text, -0.5),
            top: vec![token("top", f32::NEG_INFINITY)],
        }
    }

    fn pieces() -> [ToolCallPiece; 2] {
        let begin = ToolCallBegin {
            id: "call_1".to_owned(),
            name: "f".to_owned(),
        };
        [
            ToolCallPiece {
                index: 0,
                begin: Some(begin),
                arguments: "{".to_owned(),
            },
            ToolCallPiece {
                index: 0,
                begin: None,
                arguments: "}".to_owned(),
            },
        ]
    }

    #[test]
    fn calls_come_in_pieces_or_whole() {
        let mut answer = chat(false);
        let [first, second] = pieces();
        assert_eq!(
            json!(answer.call(&first))["delta"]["tool_calls"],
            json!([{"id": "call_1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{"}}])
        );
        assert_eq!(
            json!(answer.call(&second))["delta"]["tool_calls"],
            json!([{"index": 0, "function": {"arguments": "}"}}])
        );
        let mut whole = Whole::default();
        for piece in &pieces() {
            whole.call(piece);
        }
        assert_eq!(
            json!(answer.whole(whole, FinishReason::ToolCalls)),
            json!({
                "index": 0, "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ]},
            })
        );
    }

    #[test]
    fn probabilities_come_with_the_text_of_their_tokens() {
        let mut answer = chat(true);
        answer.log_probabilities(told("a"));
        answer.log_probabilities(told("b"));
        let piece = json!(answer.text("ab".to_owned()));
        assert_eq!(piece["logprobs"]["content"][1]["token"], "b");
        assert_eq!(
            piece["logprobs"]["content"][0],
            json!({
                "token": "a", "logprob": -0.5, "bytes": [97],
                "top_logprobs": [{"token": "top", "logprob": -9999.0, "bytes": [116, 111, 112]}],
            })
        );
        let last = json!(answer.end(FinishReason::Stop));
        assert_eq!(
            (&last["logprobs"], &last["finish_reason"]),
            (&Value::Null, &json!("stop"))
        );
    }

    #[test]
    fn texts_tell_probabilities_in_lists_with_places() {
        let mut answer = answer(Task::Complete, &json!({"prompt": "x", "logprobs": 1}));
        answer.log_probabilities(told("é"));
        let first = json!(answer.text("é".to_owned()));
        answer.log_probabilities(told("b"));
        let second = json!(answer.text("b".to_owned()));
        assert_eq!(
            first["logprobs"],
            json!({"tokens": ["é"], "token_logprobs": [-0.5], "top_logprobs": [{"top": -9999.0}], "text_offset": [0]})
        );
        assert_eq!(second["logprobs"]["text_offset"], json!([1]));
    }
}
