//! Certificates of callers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Whose certificates are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientCertificatesConfig {
    /// PEM of the authorities.
    pub authorities: String,
    /// PEM of lists of what the authorities have revoked. Where there is one, all certificates need one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocation_lists: Vec<String>,
    /// Whether lists count whose next update is overdue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated_lists_count: bool,
    /// Whether there are no connections without a certificate.
    pub required: bool,
    /// The names that are admitted; one that ends in `*` stands for all that begin with the rest. Absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<BTreeSet<String>>,
}
