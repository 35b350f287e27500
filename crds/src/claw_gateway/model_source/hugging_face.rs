//! A repository of the Hugging Face hub.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretValue;

/// Where the hub is when nothing else is said.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

/// Files of a repository of the Hugging Face hub.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HuggingFaceSource {
    /// The repository, e.g. HuggingFaceTB/SmolLM2-135M-Instruct.
    #[schemars(
        length(max = 192),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)?$")
    )]
    pub repo: String,

    /// A commit, tag or branch; main when absent. A commit never changes, and is fetched without asking the hub again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._/-]*$")
    )]
    pub revision: Option<String>,

    /// Which files are fetched: names, or patterns in which * stands for anything, slashes included, and ? for one
    /// character, e.g. model-q8_0.gguf, or *.json and onnx/model.onnx*. A model is one GGUF file, or one directory.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub files: Vec<String>,

    /// An access token, for repositories that are private or gated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretValue>,

    /// The URL of a mirror of the hub; that of Hugging Face when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub endpoint: Option<String>,
}

impl HuggingFaceSource {
    /// The revision, when nothing is said the branch that every repository has.
    pub fn revision_or_default(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The hub.
    pub fn endpoint_or_default(&self) -> &str {
        self.endpoint.as_deref().unwrap_or(DEFAULT_HUB)
    }
}
