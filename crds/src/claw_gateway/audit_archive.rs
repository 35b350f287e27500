//! Where closed segments of the audit log are copied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SinkTls;
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

/// Where requests name their bucket.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BucketAddressing {
    /// As the first part of the path, `https://storage.example.com/BUCKET/…`.
    Path,
    /// As the first part of the host's name, `https://BUCKET.storage.example.com/…`. The certificate of the storage has to
    /// be for that name.
    VirtualHost,
}

impl AuditArchive {
    /// The region, when nothing is said the one that all know.
    pub fn region_or_default(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    /// Where the storage is.
    pub fn endpoint_or_default(&self) -> String {
        self.endpoint
            .clone()
            .unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", self.region_or_default()))
    }

    /// Whether the bucket is part of paths, rather than of the host.
    pub const fn has_path_style(&self) -> bool {
        match self.addressing {
            Some(BucketAddressing::Path) => true,
            Some(BucketAddressing::VirtualHost) => false,
            None => self.endpoint.is_some(),
        }
    }

    /// The names of all Secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let values = [&self.access_key_id, &self.secret_access_key].into_iter();
        let values = values.map(|value| value.secret_key_ref.name.as_str());
        values.chain(self.tls.iter().flat_map(SinkTls::secret_names))
    }
}
