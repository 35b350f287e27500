//! What claims say of callers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What claims say of a caller, and what they must say. Each is a name, or a JSON pointer into the claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClaimsConfig {
    /// The one with the caller's name; absent means the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The one that lists the models the caller may use; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<String>,
    /// The one that lists the paths the caller may use; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<String>,
    /// What else must be true of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<ClaimRule>,
}

impl ClaimsConfig {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What must be true of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClaimRule {
    /// Which one.
    pub claim: String,
    /// What must be true.
    pub test: ClaimTest,
}

/// What must be true of a claim's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ClaimTest {
    /// It is this.
    Equals(String),
    /// It is one of these.
    OneOf(BTreeSet<String>),
    /// It is a list, or a text of several words, with this.
    Contains(String),
}
