//! What is said of a call. Pure.

use claw_crds::gateway_config::ProviderConfig;
use claw_telemetry::{Array, KeyValue, StringValue, Value};
use serde_json::Value as Json;

use crate::config::{Backend, ModelEntry};
use crate::types::{ChatRequest, Task, Usage};

/// More answers to one request are not told one by one.
pub(super) const MOST_ANSWERS: usize = 128;
/// Characters of a text that an API or a client made up.
const LONGEST: usize = 128;
/// Who runs local models: we do.
const OURSELVES: &str = "clawdbot";

/// The name of the span, and what is known when it begins.
pub(super) fn of_request(entry: &ModelEntry, request: &ChatRequest) -> (String, Vec<KeyValue>) {
    let (provider, model) = match &entry.backend {
        Backend::Remote(remote) => (Some(remote.config.provider), &remote.config.model),
        Backend::Local(_) | Backend::Unavailable { .. } => (None, &entry.name),
    };
    let operation = operation(request.task, provider);
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", operation),
        KeyValue::new("gen_ai.provider.name", provider.map_or(OURSELVES, name)),
        KeyValue::new("gen_ai.request.model", model.clone()),
        KeyValue::new("claw.model", entry.name.clone()),
    ];
    if let Backend::Remote(remote) = &entry.backend {
        server(&remote.config.base_url, &mut attributes);
    }
    parameters(request, &mut attributes);
    (format!("{operation} {model}"), attributes)
}

/// What an answer cost.
pub(super) fn of_usage(usage: &Usage) -> Vec<KeyValue> {
    let part = |of: &str, what: &str| usage.extra.get(of)?.get(what)?.as_i64();
    let counts = [
        ("gen_ai.usage.input_tokens", count(usage.prompt_tokens)),
        ("gen_ai.usage.output_tokens", count(usage.completion_tokens)),
        (
            "gen_ai.usage.cache_read.input_tokens",
            part("prompt_tokens_details", "cached_tokens"),
        ),
        (
            "gen_ai.usage.reasoning.output_tokens",
            part("completion_tokens_details", "reasoning_tokens"),
        ),
    ];
    let counts = counts
        .into_iter()
        .filter_map(|(name, count)| Some(KeyValue::new(name, count?)));
    let is_estimated = usage.extra.contains_key("estimated");
    let estimated = is_estimated.then(|| KeyValue::new("claw.usage.estimated", true));
    counts.chain(estimated).collect()
}

/// The beginning of a text that somebody else made up.
pub(super) fn bounded(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// `None` where there are none.
pub(super) fn texts(texts: impl Iterator<Item = String>) -> Option<Value> {
    let texts: Vec<StringValue> = texts.map(StringValue::from).collect();
    (!texts.is_empty()).then_some(Value::Array(Array::String(texts)))
}

fn operation(task: Task, provider: Option<ProviderConfig>) -> &'static str {
    match task {
        Task::Chat | Task::Summarize if provider == Some(ProviderConfig::Gemini) => {
            "generate_content"
        }
        Task::Chat | Task::Summarize => "chat",
        Task::Complete => "text_completion",
        Task::Embed => "embeddings",
        // The conventions know no word for it.
        Task::Rerank => "rerank",
    }
}

fn name(provider: ProviderConfig) -> &'static str {
    match provider {
        ProviderConfig::OpenAI => "openai",
        ProviderConfig::AzureOpenAI => "azure.ai.openai",
        ProviderConfig::Anthropic => "anthropic",
        ProviderConfig::Gemini => "gcp.gemini",
    }
}

/// Only the host and the port: the rest of an address may hold what is nobody's business.
fn server(base_url: &str, attributes: &mut Vec<KeyValue>) {
    let Ok(url) = url::Url::parse(base_url) else {
        return;
    };
    if let Some(host) = url.host_str() {
        attributes.push(KeyValue::new("server.address", host.to_owned()));
        let port = url.port_or_known_default().map(i64::from);
        attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
    }
}

fn parameters(request: &ChatRequest, attributes: &mut Vec<KeyValue>) {
    let number = |field: &str| request.body.fields().get(field).and_then(Json::as_f64);
    let floats = [
        ("gen_ai.request.temperature", request.temperature),
        ("gen_ai.request.top_p", request.top_p),
        ("gen_ai.request.top_k", request.top_k.map(f64::from)),
        (
            "gen_ai.request.frequency_penalty",
            number("frequency_penalty"),
        ),
        (
            "gen_ai.request.presence_penalty",
            number("presence_penalty"),
        ),
    ];
    let several = (request.choices != 1).then_some(request.choices);
    let dimensions = request
        .body
        .fields()
        .get("dimensions")
        .and_then(Json::as_i64);
    let whole = [
        (
            "gen_ai.request.max_tokens",
            request.max_tokens.map(i64::from),
        ),
        ("gen_ai.request.choice.count", several.map(i64::from)),
        ("gen_ai.request.seed", request.seed.and_then(count)),
        (
            "gen_ai.embeddings.dimension.count",
            dimensions.filter(|_| request.task == Task::Embed),
        ),
    ];
    let floats = floats
        .into_iter()
        .filter_map(|(name, value)| Some(KeyValue::new(name, value?)));
    let whole = whole
        .into_iter()
        .filter_map(|(name, value)| Some(KeyValue::new(name, value?)));
    attributes.extend(floats.chain(whole));
    if request.stream {
        attributes.push(KeyValue::new("gen_ai.request.stream", true));
    }
    if is_for_json(request) {
        attributes.push(KeyValue::new("gen_ai.output.type", "json"));
    }
    let stops = request.stop.iter().map(|stop| bounded(stop));
    let stops = texts(stops).map(|stops| KeyValue::new("gen_ai.request.stop_sequences", stops));
    attributes.extend(stops);
}

fn is_for_json(request: &ChatRequest) -> bool {
    let format = request.body.fields().get("response_format");
    let kind = format.and_then(|format| format.get("type"));
    matches!(
        kind.and_then(Json::as_str),
        Some("json_object" | "json_schema")
    )
}

fn count(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::{ModelBackend, RemoteModelConfig};
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::config::fixture;

    fn texts(attributes: &[KeyValue]) -> Vec<String> {
        attributes
            .iter()
            .map(|attribute| format!("{}={}", attribute.key, attribute.value))
            .collect()
    }

    fn described(
        change: impl FnOnce(&mut RemoteModelConfig),
        request: &ChatRequest,
    ) -> (String, Vec<String>) {
        let mut config = fixture::config(&["near"]);
        if let ModelBackend::Remote(remote) = &mut config.models[0].backend {
            change(remote);
        }
        let runtime = fixture::runtime(config);
        let (name, attributes) = of_request(&runtime.models[0], request);
        (name, texts(&attributes))
    }

    fn chat(more: &Json) -> ChatRequest {
        let mut body = json!({"messages": [{"role": "user", "content": "who asks?"}]});
        for (field, value) in more.as_object().expect("an object") {
            body[field] = value.clone();
        }
        ChatRequest::parse(&body.to_string().into()).expect("valid")
    }

    #[test]
    fn a_bare_request_is_described_by_who_is_asked_for_what() {
        let (name, told) = described(|_| {}, &chat(&json!({})));
        assert_eq!(name, "chat upstream-near");
        assert_eq!(
            told,
            [
                "gen_ai.operation.name=chat",
                "gen_ai.provider.name=openai",
                "gen_ai.request.model=upstream-near",
                "claw.model=near",
                "server.address=127.0.0.1",
                "server.port=9",
            ]
        );
    }

    #[test]
    fn parameters_are_told_and_contents_are_not() {
        let request = chat(&json!({
            "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 11, "n": 2, "stream": true, "user": "ada",
            "presence_penalty": 0.25, "frequency_penalty": 1, "stop": ["END", "x".repeat(1000)],
            "response_format": {"type": "json_object"},
        }));
        let (_, told) = described(|_| {}, &request);
        assert_eq!(
            told[6..],
            [
                "gen_ai.request.temperature=0.5".to_owned(),
                "gen_ai.request.top_p=0.9".to_owned(),
                "gen_ai.request.frequency_penalty=1".to_owned(),
                "gen_ai.request.presence_penalty=0.25".to_owned(),
                "gen_ai.request.max_tokens=7".to_owned(),
                "gen_ai.request.choice.count=2".to_owned(),
                "gen_ai.request.seed=11".to_owned(),
                "gen_ai.request.stream=true".to_owned(),
                "gen_ai.output.type=json".to_owned(),
                format!(
                    "gen_ai.request.stop_sequences=[\"END\",\"{}\"]",
                    "x".repeat(LONGEST)
                ),
            ]
        );
    }

    #[rstest]
    #[case(ProviderConfig::OpenAI, "chat", "openai")]
    #[case(ProviderConfig::AzureOpenAI, "chat", "azure.ai.openai")]
    #[case(ProviderConfig::Anthropic, "chat", "anthropic")]
    #[case(ProviderConfig::Gemini, "generate_content", "gcp.gemini")]
    fn providers_have_the_names_of_the_conventions(
        #[case] provider: ProviderConfig,
        #[case] operation: &str,
        #[case] expected: &str,
    ) {
        let (_, told) = described(|remote| remote.provider = provider, &chat(&json!({})));
        assert_eq!(told[0], format!("gen_ai.operation.name={operation}"));
        assert_eq!(told[1], format!("gen_ai.provider.name={expected}"));
    }

    #[test]
    fn embeddings_tell_their_dimensions() {
        let body = json!({"input": "a", "dimensions": 64});
        let Json::Object(body) = body else {
            unreachable!("an object")
        };
        let request = ChatRequest::of_task(Task::Embed, body).expect("valid");
        let (name, told) = described(|_| {}, &request);
        assert_eq!(name, "embeddings upstream-near");
        assert_eq!(told[6..], ["gen_ai.embeddings.dimension.count=64"]);
    }

    #[test]
    fn an_address_is_told_without_credentials_path_and_query() {
        let address = "https://ada:sesame@api.test/v1?key=open";
        let (_, told) = described(
            |remote| remote.base_url = address.to_owned(),
            &chat(&json!({})),
        );
        assert_eq!(told[4..], ["server.address=api.test", "server.port=443"]);
    }

    #[test]
    fn usage_tells_what_was_cached_thought_or_guessed() {
        let usage: Usage = serde_json::from_value(json!({
            "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }))
        .expect("usage");
        assert_eq!(
            texts(&of_usage(&usage)),
            [
                "gen_ai.usage.input_tokens=9",
                "gen_ai.usage.output_tokens=4",
                "gen_ai.usage.cache_read.input_tokens=5",
                "gen_ai.usage.reasoning.output_tokens=2",
            ]
        );
        let guessed = texts(&of_usage(&Usage::estimate(8, 4)));
        assert_eq!(guessed[2..], ["claw.usage.estimated=true"]);
    }
}
