//! How much a request may use, before anybody knows. Pure.

use claw_crds::gateway_config::PricesConfig;
use serde_json::Value;

use crate::types::{ChatRequest, Content, MOST_TOKENS_OF_A_TEXT, Task, Usage};

/// Three bytes a token are few for any language, so that hardly a prompt turns out larger.
const BYTES_A_TOKEN: usize = 3;
/// What a template adds to each message.
const TOKENS_A_MESSAGE: u64 = 8;
/// An image or another part that is no text.
const TOKENS_A_PART: u64 = 1024;
/// The longest answer of a request that does not say.
const DEFAULT_ANSWER: u64 = 4096;

/// Tokens that a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Of its prompt.
    pub prompt: u64,
    /// Of its answers.
    pub answer: u64,
}

impl Estimate {
    /// What a request may use.
    pub fn of(request: &ChatRequest) -> Self {
        let messages = request.messages.iter().map(|message| {
            let content = match &message.content {
                Content::Text(text) => of_bytes(text.len()),
                Content::Other(_) => TOKENS_A_PART,
                Content::Absent => 0,
            };
            content + TOKENS_A_MESSAGE
        });
        let tools = of_bytes(request.body.tool_bytes());
        let texts = of_bytes(request.task.text_bytes(&request.body));
        Self {
            prompt: messages.sum::<u64>() + tools + texts,
            answer: match request.task {
                Task::Chat | Task::Summarize => answer(request, DEFAULT_ANSWER),
                Task::Complete => {
                    answer(request, MOST_TOKENS_OF_A_TEXT.into()).saturating_mul(prompts(request))
                }
                Task::Embed | Task::Rerank => 0,
            },
        }
    }

    pub(super) fn tokens(self) -> i64 {
        amount(self.prompt.saturating_add(self.answer))
    }

    pub(super) fn cost(self, prices: PricesConfig) -> i64 {
        cost(self.prompt, self.answer, prices)
    }
}

/// Of all choices for one prompt.
fn answer(request: &ChatRequest, default: u64) -> u64 {
    let choices = u64::from(request.choices).max(request.best_of.unwrap_or(0));
    let answer = request.max_tokens.map_or(default, u64::from);
    answer.saturating_mul(choices)
}

/// Texts to go on with; a list of numbers is one, as tokens.
fn prompts(request: &ChatRequest) -> u64 {
    match request.body.fields().get("prompt") {
        Some(Value::Array(items)) if !items.iter().all(Value::is_number) => items.len() as u64,
        _ => 1,
    }
}

fn of_bytes(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_A_TOKEN) as u64
}

/// In millionths of a millionth: prices are millionths for a million.
fn cost(prompt: u64, answer: u64, prices: PricesConfig) -> i64 {
    let input = prompt.saturating_mul(prices.input);
    amount(input.saturating_add(answer.saturating_mul(prices.output)))
}

pub(super) fn used_tokens(usage: &Usage) -> i64 {
    amount(usage.prompt_tokens.saturating_add(usage.completion_tokens))
}

pub(super) fn used_cost(usage: &Usage, prices: PricesConfig) -> i64 {
    cost(usage.prompt_tokens, usage.completion_tokens, prices)
}

/// Sums of a few still fit.
fn amount(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX).min(i64::MAX / 8)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn of(body: &Value) -> Estimate {
        Estimate::of(&ChatRequest::parse(&Bytes::from(body.to_string())).expect("valid"))
    }

    #[test]
    fn text_images_and_tools_count_and_each_choice_answers() {
        let mut body = json!({
            "messages": [{"role": "user", "content": "a".repeat(300)}],
            "max_tokens": 50,
        });
        assert_eq!(
            of(&body),
            Estimate {
                prompt: 108,
                answer: 50
            }
        );
        body["n"] = json!(3);
        body["messages"] = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
        assert_eq!(
            of(&body),
            Estimate {
                prompt: 1032,
                answer: 150
            }
        );
        body["tools"] = json!([{"type": "function"}]);
        body.as_object_mut()
            .expect("an object")
            .remove("max_tokens");
        assert_eq!(
            of(&body),
            Estimate {
                prompt: 1039,
                answer: 3 * 4096
            }
        );
    }

    #[rstest]
    #[case::text(Task::Complete, json!({"prompt": "abcdef"}), 2, 16)]
    #[case::texts(Task::Complete, json!({"prompt": ["abc", "def"], "n": 2, "best_of": 3, "max_tokens": 5}), 2, 30)]
    #[case::tokens(Task::Complete, json!({"prompt": [1, 2, 3], "max_tokens": 5}), 4, 5)]
    #[case::embeddings(Task::Embed, json!({"input": ["abcdef", "abc"]}), 3, 0)]
    #[case::ranking(Task::Rerank, json!({"query": "abc", "documents": ["abc", {"text": "abc"}]}), 3, 0)]
    fn what_is_no_chat_counts_what_it_reads(
        #[case] task: Task,
        #[case] body: Value,
        #[case] prompt: u64,
        #[case] answer: u64,
    ) {
        let body = body.as_object().expect("an object").clone();
        let request = ChatRequest::of_task(task, body).expect("valid");
        assert_eq!(Estimate::of(&request), Estimate { prompt, answer });
    }

    #[test]
    fn a_price_for_a_million_is_exact_for_one() {
        let prices = PricesConfig {
            input: 37_500,
            output: 600_000,
        };
        // 0.0375 and 0.60 for a million: 1 + 2 tokens are 0.0000012375.
        assert_eq!(used_cost(&Usage::new(1, 2), prices), 1_237_500);
        let all = PricesConfig {
            input: u64::MAX,
            output: u64::MAX,
        };
        assert_eq!(used_cost(&Usage::new(u64::MAX - 1, 1), all), i64::MAX / 8);
    }
}
