//! Models: local ones that the gateway runs itself, and remote APIs.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::model_source::ModelSource;
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
#[x_kube(
    validation = Rule::new(
        "!has(self.task) || !(self.task in ['Embed', 'Rerank']) || !has(self.quantization) || self.quantization == 'None'")
        .message("the tasks Embed and Rerank need the quantization None: leave it out")
)]
pub struct LocalModel {
    /// Where the files come from.
    pub source: ModelSource,

    /// What the model does, which decides the request body of its routes. Chat when absent.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub task: Task,

    /// How weights are stored. Its type has the words that users read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,

    /// Longest prompt plus answer, in tokens; of models that embed and rerank, the longest input. Absent means what the
    /// model was trained for, at most 8192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 1_048_576))]
    pub context_length: Option<i32>,

    /// When the model is brought into memory: Eager at once, and the gateway is ready when it is; Standby fetches and
    /// imports the files at once and loads them for the first request; Lazy does everything for the first request.
    /// Requests wait while it loads, as long as their timeouts allow. Under spec.modelPool.memory, the Standby and Lazy
    /// models that nobody has used for longest are unloaded. Eager when absent.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub load: Load,
}

/// kubectl and Argo CD compare a list as a whole: an element that the API server had completed would differ from its
/// file for ever, and be sent again at each sync.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

/// What a model does.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Answers a conversation. Routes take and give OpenAI chat completions.
    #[default]
    Chat,
    /// Summarizes a text or a conversation. Routes take `text` or `messages` and give `summary`. A sequence-to-sequence
    /// model reads the text itself, and one that chats is asked by a chat.
    Summarize,
    /// Turns texts into vectors. Routes take and give OpenAI embeddings.
    Embed,
    /// Sorts documents by what they say about a question. Routes take `query` and `documents` and give `results`.
    Rerank,
}

/// How weights are stored: Int8 is exact enough for nearly all uses, Int4 is smaller and less exact, None keeps 32-bit
/// floating point. A directory that is imported already, or that holds an ONNX graph, keeps what it has, which this must
/// say. When absent, Int8 for models that chat or summarize, and None for those that embed or rank, which know no other.
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

/// When a model is brought into memory.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// At once, and for as long as it is configured.
    #[default]
    Eager,
    /// With the first request; its files are there before.
    Standby,
    /// With the first request, files included.
    Lazy,
}
