//! Shapes of bodies that are checked field by field, or passed on: what clients may send, and what they get.
//!
//! Bodies take more fields than are named here, and pass them to remote APIs.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::types::Usage;

/// A conversation.
#[derive(JsonSchema, Serialize)]
pub struct ChatBody {
    /// The model; on a path of a route it may be left out.
    pub model: Option<String>,
    /// What was said so far.
    #[schemars(length(min = 1))]
    pub messages: Vec<ChatMessage>,
    /// Whether the answer comes in pieces.
    pub stream: Option<bool>,
    /// What else a stream tells.
    pub stream_options: Option<StreamOptions>,
    /// How many answers.
    #[schemars(range(min = 1))]
    pub n: Option<u32>,
    /// Most tokens of the answer.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// The same; it wins over `max_tokens`.
    #[schemars(range(min = 1))]
    pub max_completion_tokens: Option<u32>,
    /// How much chance decides.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that together have this probability.
    #[schemars(range(min = 0, max = 1))]
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens.
    pub top_k: Option<u32>,
    /// Only tokens at least this likely, as a share of the likeliest.
    #[schemars(range(min = 0, max = 1))]
    pub min_p: Option<f64>,
    /// Makes what the answer has already less likely.
    #[schemars(range(min = -2, max = 2))]
    pub presence_penalty: Option<f64>,
    /// The same, each time that it came.
    #[schemars(range(min = -2, max = 2))]
    pub frequency_penalty: Option<f64>,
    /// Makes what the prompt or the answer has less likely; 1 changes nothing.
    #[schemars(range(min = 0, max = 2))]
    pub repetition_penalty: Option<f64>,
    /// Makes tokens more or less likely: their numbers, and from -100 to 100 what is added to their logits.
    pub logit_bias: Option<Map<String, Value>>,
    /// For repeatable answers.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Option<OneOrMany>,
    /// Functions that the model may call.
    pub tools: Option<Vec<Map<String, Value>>>,
    /// `auto`, `none`, `required`, or a function by its name.
    pub tool_choice: Option<Value>,
    /// Whether one answer may call several.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer: `text`, `json_object` or `json_schema`.
    pub response_format: Option<Map<String, Value>>,
    /// The same in the words of vLLM: one of `json`, `json_object`, `regex` and `choice`.
    pub structured_outputs: Option<Map<String, Value>>,
    /// A JSON schema of the answer, in older words of vLLM.
    pub guided_json: Option<Value>,
    /// A regular expression that the whole answer matches, in older words of vLLM.
    pub guided_regex: Option<String>,
    /// Texts one of which is the answer, in older words of vLLM.
    pub guided_choice: Option<Vec<String>>,
    /// Whether the probabilities of tokens are told.
    pub logprobs: Option<bool>,
    /// How many of the likeliest tokens are told with each.
    #[schemars(range(min = 0, max = 20))]
    pub top_logprobs: Option<u32>,
}

/// One message.
#[derive(JsonSchema, Serialize)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant`, `tool` or `function`.
    pub role: String,
    /// A text, or a list of parts.
    pub content: Option<Value>,
    /// What an `assistant` called.
    pub tool_calls: Option<Vec<Map<String, Value>>>,
    /// The call that a `tool` answers.
    pub tool_call_id: Option<String>,
}

/// What else a stream tells.
#[derive(JsonSchema, Serialize)]
pub struct StreamOptions {
    /// Whether it ends with the usage.
    pub include_usage: Option<bool>,
}

/// A text, or several.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// A text to go on with.
#[derive(JsonSchema, Serialize)]
pub struct CompletionBody {
    /// The model.
    pub model: Option<String>,
    /// A text, or a list of texts; for remote models also tokens.
    pub prompt: Value,
    /// How many answers to each text.
    #[schemars(range(min = 1))]
    pub n: Option<u32>,
    /// Whether answers begin with their text.
    pub echo: Option<bool>,
    /// How many of the likeliest tokens are told with each token of an answer.
    #[schemars(range(min = 0, max = 20))]
    pub logprobs: Option<u32>,
    /// Most tokens of an answer; a local model gives 16 where it is absent.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Whether the answer comes in pieces.
    pub stream: Option<bool>,
    /// Texts that end an answer.
    pub stop: Option<OneOrMany>,
}

/// Answers to texts.
#[derive(JsonSchema, Serialize)]
pub struct TextCompletion {
    /// Unique.
    pub id: String,
    /// Always `text_completion`.
    pub object: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The answers.
    pub choices: Vec<TextChoice>,
    /// What they cost.
    pub usage: Option<Usage>,
}

/// One answer to a text.
#[derive(JsonSchema, Serialize)]
pub struct TextChoice {
    /// Its number.
    pub index: u32,
    /// What the model said.
    pub text: String,
    /// Why it ended.
    pub finish_reason: Option<String>,
}

/// A conversation in Anthropic's dialect.
#[derive(JsonSchema, Serialize)]
pub struct MessagesBody {
    /// The conversation.
    #[serde(flatten)]
    pub conversation: CountBody,
    /// Most tokens of the answer.
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// Whether the answer comes in pieces.
    pub stream: Option<bool>,
    /// How much chance decides.
    pub temperature: Option<f64>,
    /// Texts that end the answer.
    pub stop_sequences: Option<Vec<String>>,
}

/// What of a conversation makes its length.
#[derive(JsonSchema, Serialize)]
pub struct CountBody {
    /// The model.
    pub model: Option<String>,
    /// Turns of `user` and `assistant`.
    #[schemars(length(min = 1))]
    pub messages: Vec<ChatMessage>,
    /// Instructions: a text, or a list of text blocks.
    pub system: Option<Value>,
    /// Tools that the model may call, of type `custom`.
    pub tools: Option<Vec<Map<String, Value>>>,
}

/// A conversation for the Responses API.
#[derive(JsonSchema, Serialize)]
pub struct ResponsesBody {
    /// The model.
    pub model: Option<String>,
    /// A text, or a list of items.
    pub input: Value,
    /// What the model is told before.
    pub instructions: Option<String>,
    /// Most tokens of the answer.
    #[schemars(range(min = 1))]
    pub max_output_tokens: Option<u32>,
    /// Whether the answer comes in pieces.
    pub stream: Option<bool>,
    /// Functions that the model may call.
    pub tools: Option<Vec<Map<String, Value>>>,
    /// The shape of the answer.
    pub text: Option<Map<String, Value>>,
    /// How hard the model thinks: `effort`.
    pub reasoning: Option<Map<String, Value>>,
    /// Nothing is stored: `true` is refused.
    pub store: Option<bool>,
}

/// An answer of the Responses API.
#[derive(JsonSchema, Serialize)]
pub struct ResponseAnswer {
    /// Unique.
    pub id: String,
    /// Always `response`.
    pub object: String,
    /// Seconds since 1970.
    pub created_at: u64,
    /// `completed`, or `incomplete`.
    pub status: String,
    /// The model that answered.
    pub model: String,
    /// Messages and calls of functions.
    pub output: Vec<Map<String, Value>>,
    /// What it cost.
    pub usage: Option<Map<String, Value>>,
}

/// An event whose type says what else it has.
#[derive(JsonSchema, Serialize)]
pub struct TypedEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rest.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Texts to turn into vectors.
#[derive(JsonSchema, Serialize)]
pub struct EmbeddingsBody {
    /// The model.
    pub model: Option<String>,
    /// A text, a list of texts, or tokens.
    pub input: Value,
    /// Length of the vectors.
    pub dimensions: Option<u32>,
    /// `float` or `base64`.
    pub encoding_format: Option<String>,
}

/// Vectors.
#[derive(JsonSchema, Serialize)]
pub struct Embeddings {
    /// Always `list`.
    pub object: String,
    /// The model that answered.
    pub model: String,
    /// One for each text.
    pub data: Vec<Map<String, Value>>,
    /// What they cost.
    pub usage: Map<String, Value>,
}

/// Documents to sort.
#[derive(JsonSchema, Serialize)]
pub struct RerankBody {
    /// The model.
    pub model: Option<String>,
    /// The question.
    pub query: String,
    /// Texts, or objects with a text.
    #[schemars(length(min = 1))]
    pub documents: Vec<Value>,
    /// How many of the best are told.
    #[schemars(range(min = 1))]
    pub top_n: Option<u32>,
}

/// Sorted documents.
#[derive(JsonSchema, Serialize)]
pub struct Ranking {
    /// The model that answered.
    pub model: String,
    /// The best first, each with `index` and `relevance_score`.
    pub results: Vec<Map<String, Value>>,
    /// What it cost.
    pub usage: Map<String, Value>,
}
