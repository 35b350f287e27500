//! Where a gateway remembers what was used of its limits.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretValue;

/// Where the gateway remembers what was used of its limits: exactly one of sqlite and postgres.
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
}

/// A file in the state directory.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqliteState {}
