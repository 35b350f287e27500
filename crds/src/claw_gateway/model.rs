//! Models: local ones that the gateway runs itself, and remote APIs.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::remote_model::RemoteModel;
use super::{Budget, Prices};

/// A model under the name that clients and routes use: exactly one of local and remote.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.local) != has(self.remote)")
        .message("set exactly one of local and remote"),
    validation = Rule::new(
        "!has(self.limits) || !(has(self.limits.costPerDay) || has(self.limits.costPerMonth)) || has(self.prices)")
        .message("a limit of cost needs prices: set prices, or limit tokens")
)]
pub struct Model {
    /// The name that clients send as `model` and that routes and channels refer to.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$")
    )]
    pub name: String,

    /// A model that runs in the gateway's own process on ONNX Runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalModel>,

    /// A model behind an API elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteModel>,

    /// What all callers together may use of this model. Once it is used up, the next model of the route is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Budget>,

    /// What its tokens cost, for limits of cost. A local model without prices costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

/// A model that runs in the gateway's own process.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalModel {
    /// Where the files come from.
    pub source: ModelSource,

    /// What the model does, which decides the request body of its routes. Chat when absent.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub task: Task,

    /// How the weights are stored: Int8 is exact enough for nearly all uses, Int4 is smaller and less exact, None keeps
    /// 32-bit floating point. A directory that is imported already, or that holds an ONNX graph, keeps what it has, which
    /// this must say. Int8 when absent.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub quantization: Quantization,

    /// Longest prompt plus answer, in tokens. Absent means what the model was trained for, at most 8192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 1_048_576))]
    pub context_length: Option<i32>,
}

/// kubectl and Argo CD compare a list as a whole: an element that the API server had completed would differ from its
/// file for ever, and be sent again at each sync.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

/// Where a local model's files come from: exactly one of path and http.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.path) != has(self.http)").message("set exactly one of path and http"))]
pub struct ModelSource {
    /// A GGUF file, a directory with config.json and safetensors files or an ONNX graph, or a directory made by
    /// `clawdbot model import`, on the gateway's own file system (part of the image, say). Absolute in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub path: Option<String>,

    /// A GGUF file that the gateway downloads and checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
}

/// A file behind a URL.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSource {
    /// Where to get the file.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,

    /// Lower-case hexadecimal SHA-256 of the file. A download that differs is thrown away.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// What a model does.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Answers a conversation. Routes take and give OpenAI chat completions.
    #[default]
    Chat,
}

/// How weights are stored.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantization {
    /// 32-bit floating point.
    None,
    /// 8 bits, with a scale for every 32 or 64 weights.
    #[default]
    Int8,
    /// 4 bits in layers, with a scale for every 32 weights, and 8 bits for the vocabulary.
    Int4,
}
