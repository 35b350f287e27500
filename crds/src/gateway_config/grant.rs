//! What a caller may do.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::BudgetConfig;

/// What the holder of a credential may do; absent parts restrict nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GrantConfig {
    /// Who is to be asked about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// From when on it admits nobody, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<jiff::Timestamp>,
    /// The models it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<String>>,
    /// The request paths it may use; one that ends in `*` stands for all that begin with the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<BTreeSet<String>>,
    /// Where its holder may call from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidrs: Option<BTreeSet<IpNet>>,
    /// What it may use, where that is less than everybody may.
    #[serde(default, skip_serializing_if = "BudgetConfig::is_empty")]
    pub limits: BudgetConfig,
}

impl GrantConfig {
    /// Whether nothing is restricted or told.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
