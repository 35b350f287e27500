//! Rules that look at headers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A header that a request must have.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Its name; upper and lower case are the same. Headers that carry credentials (Authorization, Cookie and the
    /// like) are not for rules.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    )]
    pub name: String,

    /// How value is compared. Exact when absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub match_type: Option<HeaderMatchType>,

    /// What the header's value must be, or the regular expression that is searched in it: begin it with ^ and end it
    /// with $ to match the whole value. The values of a header that is sent several times are joined by commas.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// How a header's value is compared.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderMatchType {
    /// Byte by byte.
    #[default]
    Exact,
    /// As a regular expression in RE2 syntax, always linear in time.
    RegularExpression,
}
