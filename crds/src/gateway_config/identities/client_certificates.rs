//! Certificates of callers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Whose certificates are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientCertificatesConfig {
    /// PEM of the authorities.
    pub authorities: String,
    /// Whether there are no connections without a certificate.
    pub required: bool,
    /// The names that are admitted; one that ends in `*` stands for all that begin with the rest. Absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<BTreeSet<String>>,
}
