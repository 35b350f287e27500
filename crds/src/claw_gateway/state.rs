//! Where a gateway remembers what was used of its limits, and what was said on its channels.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretValue;

/// Where the gateway remembers what was used of its limits and what was said on its channels: exactly one of sqlite
/// and postgres.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.sqlite) != has(self.postgres)")
    .message("set exactly one of sqlite and postgres"))]
pub struct State {
    /// A file in the state directory, for one replica. It outlives its pod only with storage.persistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<SqliteState>,

    /// A PostgreSQL database (12 or newer), shared by all replicas. The entry of the Secret holds its URL, e.g.
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`; tables are made by the gateway. Several
    /// gateways may share a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<SecretValue>,

    /// What people write and are answered on channels is encrypted in the database. When absent, a key in the state
    /// directory does it for sqlite; with postgres, conversations are then kept in the memory of each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<StateEncryption>,
}

/// A file in the state directory.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqliteState {}

/// How content is encrypted in the database: AES-256-GCM.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEncryption {
    /// The entries of Secrets that hold a key each: 32 random bytes in base64, as `openssl rand -base64 32` makes them.
    /// The first one encrypts, all of them decrypt; what an older one has encrypted is encrypted anew in the
    /// background.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, b.secretKeyRef.name == a.secretKeyRef.name && b.secretKeyRef.key == a.secretKeyRef.key))")
        .message("each key is listed once"))]
    pub keys: Vec<SecretValue>,
}
