//! Models that run in the gateway's own process.

use serde::{Deserialize, Serialize};

use super::Redacted;

/// A model that ONNX Runtime runs in the gateway's process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalModelConfig {
    /// Where the files come from.
    pub source: SourceConfig,
    /// How weights are stored after import; an imported directory keeps what it has.
    pub quantization: QuantizationConfig,
    /// Longest prompt plus answer in tokens; absent means what the model was trained for, at most 8192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    /// When it is brought into memory.
    #[serde(default, skip_serializing_if = "LoadConfig::is_default")]
    pub load: LoadConfig,
}

/// Where a local model's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum SourceConfig {
    /// A GGUF file, a published model or an imported one on the gateway's file system.
    Path(String),
    /// A GGUF file behind an HTTP(S) URL.
    Http {
        /// The URL.
        url: String,
        /// Lower-case hexadecimal SHA-256 of the file.
        sha256: String,
    },
    /// Files of a repository of the Hugging Face hub.
    HuggingFace(HuggingFaceConfig),
    /// Objects of a bucket.
    S3(S3Config),
    /// An artifact of a registry.
    Oci(OciConfig),
}

/// Files of a repository of the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HuggingFaceConfig {
    /// URL of the hub, without a trailing slash.
    pub endpoint: String,
    /// `<owner>/<name>`.
    pub repo: String,
    /// Commit, tag or branch.
    pub revision: String,
    /// Names and patterns.
    pub files: Vec<String>,
    /// Who asks; absent means nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Redacted>,
}

/// Objects of a bucket that speaks S3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// What of it.
    pub objects: ObjectsConfig,
    /// The region.
    pub region: String,
    /// Where the storage is.
    pub endpoint: String,
    /// Whether the bucket is part of paths, rather than of the host.
    pub path_style: bool,
    /// Key id and key; absent means nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<(Redacted, Redacted)>,
}

/// What of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ObjectsConfig {
    /// One object.
    Key {
        /// Its name.
        key: String,
        /// What it must have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// Every object below this folder; no slash at the end.
    Prefix(String),
}

/// An artifact of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OciConfig {
    /// `https://host[:port]`, without a trailing slash.
    pub registry: String,
    /// The repository within it.
    pub repository: String,
    /// A tag, or a digest with its algorithm.
    pub reference: String,
    /// User and password; absent means nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<(Redacted, Redacted)>,
}

/// When a model is brought into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LoadConfig {
    /// At once.
    #[default]
    Eager,
    /// With the first request; its files are there before.
    Standby,
    /// With the first request, files included.
    Lazy,
}

impl LoadConfig {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Weight formats of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QuantizationConfig {
    /// 32-bit floating point.
    None,
    /// 8-bit blocks of 32 weights.
    Int8,
    /// 4-bit blocks of 32 weights in layers, 8-bit ones for the vocabulary.
    Int4,
}
