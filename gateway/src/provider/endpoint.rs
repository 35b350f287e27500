//! Where a request goes, and how it says who sends it. Pure.

use std::fmt::Write as _;

use claw_crds::gateway_config::{ProviderConfig, RemoteModelConfig};
use http::header::{AUTHORIZATION, CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::types::Task;

/// The version of the Messages API that is spoken (<https://docs.anthropic.com/en/api/versioning>).
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Where a request for this task goes; APIs of other dialects have a path for chats alone. No credential is ever part
/// of it.
pub(super) fn url(remote: &RemoteModelConfig, task: Task, is_streamed: bool) -> String {
    let base = remote.base_url.trim_end_matches('/');
    let path = task.path();
    match (remote.provider, &remote.api_version) {
        (ProviderConfig::OpenAI, _) => format!("{base}/{path}"),
        (ProviderConfig::AzureOpenAI, None) => format!("{base}/openai/v1/{path}"),
        (ProviderConfig::AzureOpenAI, Some(version)) => {
            let deployment = segment(&remote.model);
            format!("{base}/openai/deployments/{deployment}/{path}?api-version={version}")
        }
        (ProviderConfig::Anthropic, _) => format!("{base}/messages"),
        (ProviderConfig::Gemini, _) => {
            let method = if is_streamed {
                "streamGenerateContent?alt=sse"
            } else {
                "generateContent"
            };
            format!("{base}/{}:{method}", gemini_model(&remote.model))
        }
    }
}

/// `models/…`, which may be left out, or `tunedModels/…`.
fn gemini_model(model: &str) -> String {
    if model.contains('/') {
        let segments: Vec<String> = model.split('/').map(segment).collect();
        segments.join("/")
    } else {
        format!("models/{}", segment(model))
    }
}

/// One segment of a path, which nothing in it can leave.
fn segment(text: &str) -> String {
    if matches!(text, "." | "..") {
        return text.replace('.', "%2E");
    }
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The headers that a provider wants.
pub(super) fn headers(
    provider: ProviderConfig,
    key: Option<&str>,
) -> Result<HeaderMap, InvalidHeaderValue> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if provider == ProviderConfig::Anthropic {
        let version = HeaderValue::from_static(ANTHROPIC_VERSION);
        headers.insert("anthropic-version", version);
    }
    let Some(key) = key else {
        return Ok(headers);
    };
    let (name, mut value) = match provider {
        ProviderConfig::OpenAI => {
            let bearer = HeaderValue::try_from(format!("Bearer {key}"))?;
            (AUTHORIZATION, bearer)
        }
        ProviderConfig::AzureOpenAI => (HeaderName::from_static("api-key"), key.try_into()?),
        ProviderConfig::Anthropic => (HeaderName::from_static("x-api-key"), key.try_into()?),
        ProviderConfig::Gemini => (HeaderName::from_static("x-goog-api-key"), key.try_into()?),
    };
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::openai(ProviderConfig::OpenAI, "m", None, "https://host/chat/completions")]
    #[case::azure(
        ProviderConfig::AzureOpenAI,
        "m",
        None,
        "https://host/openai/v1/chat/completions"
    )]
    #[case::azure_deployment(
        ProviderConfig::AzureOpenAI,
        "my deployment/../x?",
        Some("2024-10-21"),
        "https://host/openai/deployments/my%20deployment%2F..%2Fx%3F/chat/completions?api-version=2024-10-21"
    )]
    #[case::anthropic(ProviderConfig::Anthropic, "m", None, "https://host/messages")]
    #[case::gemini(
        ProviderConfig::Gemini,
        "gemini-2.5-flash",
        None,
        "https://host/models/gemini-2.5-flash:generateContent"
    )]
    #[case::gemini_tuned(
        ProviderConfig::Gemini,
        "tunedModels/../x:y",
        None,
        "https://host/tunedModels/%2E%2E/x%3Ay:generateContent"
    )]
    fn every_provider_has_its_paths(
        #[case] provider: ProviderConfig,
        #[case] model: &str,
        #[case] api_version: Option<&str>,
        #[case] expected: &str,
    ) {
        let remote = RemoteModelConfig {
            provider,
            base_url: "https://host/".into(),
            model: model.into(),
            api_version: api_version.map(str::to_owned),
            credentials: Vec::new(),
        };
        assert_eq!(url(&remote, Task::Chat, false), expected);
        let streamed = url(&remote, Task::Chat, true);
        let has_own_path = provider == ProviderConfig::Gemini;
        assert_eq!(
            streamed.ends_with(":streamGenerateContent?alt=sse"),
            has_own_path
        );
    }

    #[rstest]
    #[case(Task::Complete, "https://host/completions")]
    #[case(Task::Embed, "https://host/embeddings")]
    #[case(Task::Rerank, "https://host/rerank")]
    fn every_task_has_its_path(#[case] task: Task, #[case] expected: &str) {
        let remote = RemoteModelConfig {
            provider: ProviderConfig::OpenAI,
            base_url: "https://host".into(),
            model: "m".into(),
            api_version: None,
            credentials: Vec::new(),
        };
        assert_eq!(url(&remote, task, false), expected);
    }
}
