//! Models behind APIs elsewhere.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretKeyRef;

/// A model behind an API elsewhere.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.baseURL) || self.provider != 'AzureOpenAI'")
        .message("AzureOpenAI needs baseURL, the endpoint of your resource"),
    validation = Rule::new("!has(self.apiVersion) || self.provider == 'AzureOpenAI'")
        .message("apiVersion is for AzureOpenAI only"),
    validation = Rule::new(
        "!has(self.task) || !(self.task in ['Embed', 'Rerank']) || self.provider in ['OpenAI', 'AzureOpenAI']")
        .message("the tasks Embed and Rerank need the provider OpenAI or AzureOpenAI")
)]
pub struct RemoteModel {
    /// The API's dialect. Callers speak the gateway's API whatever it is.
    pub provider: Provider,

    /// Where the API is: for OpenAI, Anthropic and Gemini the URL up to and including the version, for AzureOpenAI the
    /// endpoint of the resource. Absent means the provider's own, `https://api.openai.com/v1`,
    /// `https://api.anthropic.com/v1` or `https://generativelanguage.googleapis.com/v1beta`.
    #[serde(rename = "baseURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub base_url: Option<String>,

    /// The name sent to the API, for AzureOpenAI that of the deployment; the model's own name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub model: Option<String>,

    /// For AzureOpenAI: the `api-version` of its older API by deployments, `2024-10-21` say. Absent means its v1 API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$"))]
    pub api_version: Option<String>,

    /// What the model does, which decides the request body of its routes. Chat when absent. The paths of the API
    /// (`/v1/…`) take the same bodies whatever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<RemoteTask>,

    /// The API key or keys, sent in the header that the provider wants. Absent for APIs that need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// What a remote model does.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteTask {
    /// Answers a conversation. Routes take and give OpenAI chat completions.
    Chat,
    /// Summarizes a text or a conversation. Routes take `text` or `messages` and give `summary`; the API is asked by a
    /// chat.
    Summarize,
    /// Turns texts into vectors. Routes take and give OpenAI embeddings.
    Embed,
    /// Sorts documents by what they say about a question. Routes take `query` and `documents` and give `results`.
    Rerank,
}

/// Keys of one API: exactly one of secretKeyRef and secretKeyRefs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.secretKeyRefs)")
    .message("set exactly one of secretKeyRef and secretKeyRefs"))]
pub struct Credentials {
    /// Where the only key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// Where several keys are. Requests take them in turn; a key that the API refuses or limits rests for a while, and
    /// the next one is tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub secret_key_refs: Option<Vec<SecretKeyRef>>,
}

impl Credentials {
    /// All references, with the field that each stands in.
    pub fn references(&self) -> impl Iterator<Item = (String, &SecretKeyRef)> {
        let only = self
            .secret_key_ref
            .iter()
            .map(|reference| ("secretKeyRef".to_owned(), reference));
        let several = self.secret_key_refs.iter().flatten().enumerate();
        only.chain(several.map(|(index, reference)| (format!("secretKeyRefs[{index}]"), reference)))
    }
}

/// The dialect of a remote API.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provider {
    /// The OpenAI API and all that speak it (vLLM, Ollama, DeepSeek, Qwen, Moonshot, LiteLLM and many more).
    OpenAI,
    /// Azure OpenAI: the same API at other paths, with the header `api-key`.
    AzureOpenAI,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
}

impl Provider {
    /// Where the provider's own API is; Azure has one for each resource.
    pub const fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAI => Some("https://api.openai.com/v1"),
            Self::AzureOpenAI => None,
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
        }
    }
}

impl RemoteModel {
    /// Where the API is, as far as anybody said.
    pub fn base_url_or_default(&self) -> Option<&str> {
        self.base_url
            .as_deref()
            .or_else(|| self.provider.default_base_url())
    }
}
