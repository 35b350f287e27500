//! Where closed segments of the audit log are copied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BucketAddressing, BucketPlace, SinkTls};
use crate::secret_ref::SecretValue;

/// A bucket of object storage that speaks S3. Each segment of the log is put there, with its SHA-256 for the server to
/// check, once it is closed: after 64 MiB, when its day (in UTC) is over, and when the gateway stops. No segment is
/// deleted from the log before it is there.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditArchive {
    /// The bucket. Give it object lock or versions, so that not even the gateway's key can change what is there.
    #[schemars(
        length(min = 3, max = 63),
        regex(pattern = "^[a-z0-9][a-z0-9.-]*[a-z0-9]$")
    )]
    pub bucket: String,

    /// Put before the names of objects, with a slash between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = "^[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*$")
    )]
    pub prefix: Option<String>,

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

    /// Who puts objects. Needed are s3:PutObject, and s3:GetObject where the storage does not answer with checksums.
    pub access_key_id: SecretValue,

    /// The key that goes with accessKeyId.
    pub secret_access_key: SecretValue,

    /// Whom to trust, and what to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SinkTls>,
}

impl AuditArchive {
    /// Where the bucket is.
    pub fn place(&self) -> BucketPlace<'_> {
        BucketPlace {
            region: self.region.as_deref(),
            endpoint: self.endpoint.as_deref(),
            addressing: self.addressing,
        }
    }

    /// The names of all Secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let values = [&self.access_key_id, &self.secret_access_key].into_iter();
        let values = values.map(|value| value.secret_key_ref.name.as_str());
        values.chain(self.tls.iter().flat_map(SinkTls::secret_names))
    }
}
