//! Objects of a bucket.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::super::{BucketAddressing, BucketPlace};
use crate::secret_ref::SecretValue;

/// Objects of a bucket that speaks S3: exactly one of key and prefix.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.key) != has(self.prefix)").message("set exactly one of key and prefix"),
    validation = Rule::new("has(self.accessKeyId) == has(self.secretAccessKey)")
        .message("set both of accessKeyId and secretAccessKey, or none for a public bucket"),
    validation = Rule::new("!has(self.sha256) || has(self.key)")
        .message("sha256 is of one object: set key")
)]
pub struct S3Source {
    /// The bucket.
    #[schemars(
        length(min = 3, max = 63),
        regex(pattern = "^[a-z0-9][a-z0-9.-]*[a-z0-9]$")
    )]
    pub bucket: String,

    /// The object with a GGUF file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub key: Option<String>,

    /// The folder of a model: every object whose name begins with this text and a slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub prefix: Option<String>,

    /// Lower-case hexadecimal SHA-256 of the object. Absent means that what the storage says of its checksum counts,
    /// where it says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,

    /// The region; us-east-1 when absent, which storage without regions takes as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: Option<String>,

    /// The URL of the storage without the bucket, e.g. `https://minio.storage.svc:9000`. Absent means Amazon's in the
    /// region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub endpoint: Option<String>,

    /// Where the bucket is named. Absent means VirtualHost at Amazon, and Path with an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addressing: Option<BucketAddressing>,

    /// Who gets objects; nobody in particular when absent. Needed are s3:GetObject and, with prefix, s3:ListBucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<SecretValue>,

    /// The key that goes with accessKeyId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretValue>,
}

impl S3Source {
    /// Where the bucket is.
    pub fn place(&self) -> BucketPlace<'_> {
        BucketPlace {
            region: self.region.as_deref(),
            endpoint: self.endpoint.as_deref(),
            addressing: self.addressing,
        }
    }
}
