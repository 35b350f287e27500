//! How likely each token was, in OpenAI's form.

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct LogProbabilities {
    chosen_candidates: Vec<Token>,
    top_candidates: Vec<Rivals>,
}

#[derive(Debug, Deserialize)]
struct Rivals {
    #[serde(default)]
    candidates: Vec<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    log_probability: f64,
}

impl LogProbabilities {
    pub(super) fn told(&self) -> Value {
        let tokens = self.chosen_candidates.iter().enumerate();
        let content: Vec<Value> = tokens
            .map(|(index, chosen)| {
                let rivals = self.top_candidates.get(index);
                let rivals = rivals.into_iter().flat_map(|step| &step.candidates);
                let rivals: Vec<Value> = rivals.map(Token::told).collect();
                let mut told = chosen.told();
                told["top_logprobs"] = rivals.into();
                told
            })
            .collect();
        json!({"content": content, "refusal": null})
    }
}

impl Token {
    fn told(&self) -> Value {
        json!({
            "token": self.token,
            "logprob": self.log_probability,
            "bytes": self.token.as_bytes(),
        })
    }
}
