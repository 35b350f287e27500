//! OpenAI's own fields. Whatever else a request holds is somebody's extension, and is passed on.

use serde_json::Value;

/// Fields that ask for something which only some providers have.
const DEMANDING: [&str; 18] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "modalities",
    "moderation",
    "n",
    "prediction",
    "presence_penalty",
    "prompt_cache_retention",
    "seed",
    "service_tier",
    "store",
    "top_logprobs",
    "verbosity",
    "web_search_options",
];
/// Fields that say something about the request, and nothing about the answer.
const INFORMATIVE: [&str; 4] = ["user", "metadata", "safety_identifier", "prompt_cache_key"];

/// Whether OpenAI's API has this field, and an answer depends on it.
pub(in crate::conversion) fn is_demanding(field: &str) -> bool {
    DEMANDING.contains(&field)
}

/// Whether no answer depends on this field.
pub(in crate::conversion) fn is_informative(field: &str) -> bool {
    INFORMATIVE.contains(&field)
}

/// Clients send defaults; a default changes nothing.
pub(in crate::conversion) fn says_nothing(field: &str, value: &Value) -> bool {
    match (field, value) {
        (_, Value::Null) => true,
        ("n", value) => value.as_u64() == Some(1),
        ("frequency_penalty" | "presence_penalty", value) => value.as_f64() == Some(0.0),
        ("logprobs" | "store", value) => value == &Value::Bool(false),
        ("tools" | "functions", Value::Array(items)) => items.is_empty(),
        ("logit_bias", Value::Object(biases)) => biases.is_empty(),
        ("tool_choice", Value::String(choice)) => choice == "none",
        ("response_format", Value::Object(format)) => {
            format.get("type").and_then(Value::as_str) == Some("text")
        }
        ("modalities", Value::Array(items)) => items.iter().all(|item| item == "text"),
        ("service_tier", Value::String(tier)) => matches!(tier.as_str(), "auto" | "default"),
        ("verbosity", Value::String(verbosity)) => verbosity == "medium",
        _ => false,
    }
}
