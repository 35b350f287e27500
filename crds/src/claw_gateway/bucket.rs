//! Where a bucket of storage that speaks S3 is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where requests name their bucket.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BucketAddressing {
    /// As the first part of the path, `https://storage.example.com/BUCKET/…`.
    Path,
    /// As the first part of the host's name, `https://BUCKET.storage.example.com/…`. The certificate of the storage has to
    /// be for that name.
    VirtualHost,
}

/// What an object says of the place of its bucket, and what follows where it says nothing.
#[derive(Clone, Copy, Debug)]
pub struct BucketPlace<'a> {
    pub(super) region: Option<&'a str>,
    pub(super) endpoint: Option<&'a str>,
    pub(super) addressing: Option<BucketAddressing>,
}

impl<'a> BucketPlace<'a> {
    /// The region, when nothing is said the one that all know.
    pub fn region(self) -> &'a str {
        self.region.unwrap_or("us-east-1")
    }

    /// Where the storage is.
    pub fn endpoint(self) -> String {
        let of_amazon = || format!("https://s3.{}.amazonaws.com", self.region());
        self.endpoint.map_or_else(of_amazon, str::to_owned)
    }

    /// Whether the bucket is part of paths, rather than of the host.
    pub const fn has_path_style(self) -> bool {
        match self.addressing {
            Some(BucketAddressing::Path) => true,
            Some(BucketAddressing::VirtualHost) => false,
            None => self.endpoint.is_some(),
        }
    }
}
