//! A chat as a request to generate content. What Gemini cannot do is refused by name, never dropped.

use serde_json::{Map, Value, json};

use super::{contents, tools};
use crate::conversion::Target;
use crate::conversion::chat::demands::{Format, edit_at, effort, format, number};
use crate::conversion::chat::fields::{is_demanding, is_informative, says_nothing};
use crate::conversion::chat::turns::turns;
use crate::error::GatewayError;
use crate::types::ChatRequest;

/// Where most of what a chat asks for belongs.
const CONFIG: &str = "generationConfig";

/// The body for the API; the model is named in the path.
pub fn request(
    request: &ChatRequest,
    target: &Target<'_>,
) -> Result<Map<String, Value>, GatewayError> {
    let mut body = Map::new();
    for (field, value) in request.body.fields() {
        add(&mut body, field, value, target)?;
    }
    if let Some(most) = request.max_tokens {
        edit_at(&mut body, CONFIG, |config| {
            config.insert("maxOutputTokens".into(), most.into());
        });
    }
    let conversation = contents::conversation(&turns(request, target)?, target)?;
    if !conversation.system.is_empty() {
        let instruction = json!({"parts": conversation.system});
        body.insert("systemInstruction".into(), instruction);
    }
    body.insert("contents".into(), conversation.contents.into());
    tools::add(&mut body, request.body.fields(), target)?;
    Ok(body)
}

fn add(
    body: &mut Map<String, Value>,
    field: &str,
    value: &Value,
    target: &Target<'_>,
) -> Result<(), GatewayError> {
    let mut config = |name: &str, value: Value| {
        edit_at(body, CONFIG, |config| {
            config.insert(name.to_owned(), value);
        });
    };
    match field {
        // Told elsewhere, or by the path.
        "model"
        | "messages"
        | "max_tokens"
        | "max_completion_tokens"
        | "stream"
        | "stream_options"
        | "tools"
        | "tool_choice"
        | "parallel_tool_calls" => {}
        _ if value.is_null() => {}
        "temperature" => config(field, number(field, value)?),
        "top_p" => config("topP", number(field, value)?),
        "top_k" => config("topK", number(field, value)?),
        "presence_penalty" => config("presencePenalty", number(field, value)?),
        "frequency_penalty" => config("frequencyPenalty", number(field, value)?),
        "n" => config("candidateCount", number(field, value)?),
        "top_logprobs" => config("logprobs", number(field, value)?),
        "logprobs" if value == true => config("responseLogprobs", true.into()),
        "seed" => match value.as_i64().map(i32::try_from) {
            Some(Ok(seed)) => config(field, seed.into()),
            _ => return Err(target.unsupported(field, "give one of at most 32 bits")),
        },
        "stop" => match value {
            Value::String(stop) => config("stopSequences", json!([stop])),
            stops => config("stopSequences", stops.clone()),
        },
        "response_format" => match format(value)? {
            Format::Text => {}
            Format::JsonObject => config("responseMimeType", "application/json".into()),
            Format::JsonSchema(schema) => {
                config("responseMimeType", "application/json".into());
                config("responseJsonSchema", schema.clone());
            }
        },
        "reasoning_effort" => {
            let thinking = thinking(effort(value)?, target)?;
            edit_at(body, CONFIG, |config| {
                config.entry("thinkingConfig").or_insert(thinking);
            });
        }
        // Said by the caller in Gemini's own words.
        CONFIG => match value {
            Value::Object(given) => edit_at(body, CONFIG, |config| config.extend(given.clone())),
            other => {
                let message = format!("`{CONFIG}` must be an object, not {other}");
                return Err(GatewayError::invalid(CONFIG, message));
            }
        },
        _ if is_informative(field) || says_nothing(field, value) => {}
        _ if is_demanding(field) => {
            let remedy = "leave it out, or use a model that has it";
            return Err(target.unsupported(field, remedy));
        }
        _ => {
            body.insert(field.into(), value.clone());
        }
    }
    Ok(())
}

/// Google's own equivalents: <https://ai.google.dev/gemini-api/docs/openai>.
fn thinking(effort: &str, target: &Target<'_>) -> Result<Value, GatewayError> {
    let budget = match effort {
        "none" => return Ok(json!({"thinkingBudget": 0})),
        "minimal" | "low" => 1024,
        "medium" => 8192,
        "high" => 24_576,
        _ => return Err(target.unsupported("reasoning_effort", "use high at most")),
    };
    Ok(json!({"thinkingBudget": budget, "includeThoughts": true}))
}
