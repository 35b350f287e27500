//! Where a local model's files come from.

mod claim;
mod hugging_face;
mod oci;
mod s3;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

pub use claim::ClaimSource;
pub use hugging_face::{DEFAULT_HUB, HuggingFaceSource};
pub use oci::OciSource;
pub use s3::S3Source;

/// Where a local model's files come from: exactly one member. What is fetched is kept in the storage of the gateway and
/// fetched once.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.path), has(self.http), has(self.huggingFace), has(self.s3), has(self.oci), \
     has(self.persistentVolumeClaim)].filter(set, set).size() == 1")
    .message("set exactly one of path, http, huggingFace, s3, oci and persistentVolumeClaim"))]
pub struct ModelSource {
    /// A GGUF file, a directory with config.json and safetensors files or an ONNX graph, or a directory made by
    /// `clawdbot model import`, on the gateway's own file system (part of the image, say). Absolute in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub path: Option<String>,

    /// A GGUF file that the gateway downloads and checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,

    /// Files of a repository of the Hugging Face hub, or of a mirror of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFaceSource>,

    /// Objects of a bucket that speaks S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,

    /// An artifact of a container registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,

    /// Files of a volume that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimSource>,
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

impl ModelSource {
    /// The URL of whoever is called for the files; `None` where they are on a volume.
    pub fn origin_url(&self) -> Option<String> {
        let url = self.http.as_ref().map(|http| http.url.clone());
        let hub = || Some(self.hugging_face.as_ref()?.endpoint_or_default().to_owned());
        let bucket = || Some(self.s3.as_ref()?.place().endpoint());
        let registry = || self.oci.as_ref()?.registry_url();
        url.or_else(hub).or_else(bucket).or_else(registry)
    }

    /// The names of all Secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let token = self
            .hugging_face
            .iter()
            .filter_map(|hub| hub.token.as_ref());
        let keys = self
            .s3
            .iter()
            .flat_map(|bucket| [&bucket.access_key_id, &bucket.secret_access_key])
            .flatten();
        let values = token.chain(keys);
        let pull = self.oci.iter().filter_map(|oci| oci.pull_secret.as_ref());
        values
            .map(|value| value.secret_key_ref.name.as_str())
            .chain(pull.map(|secret| secret.name.as_str()))
    }
}
