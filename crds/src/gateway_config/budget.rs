//! Limits by the minute, day and month, and where they are remembered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Redacted;

/// Everything that is limited by the minute, day or month, or by what is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BudgetsConfig {
    /// Where days and months begin; absent means UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// For all callers together.
    #[serde(default, skip_serializing_if = "BudgetConfig::is_empty")]
    pub gateway: BudgetConfig,
    /// For each caller.
    #[serde(default, skip_serializing_if = "BudgetConfig::is_empty")]
    pub per_key: BudgetConfig,
    /// For all callers of a model, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelBudgetConfig>,
}

/// What one model's tokens cost, and how much of it may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelBudgetConfig {
    /// Absent means that it costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PricesConfig>,
    /// For all callers together.
    #[serde(default, skip_serializing_if = "BudgetConfig::is_empty")]
    pub budget: BudgetConfig,
}

/// Prices in millionths for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PricesConfig {
    /// Of prompts.
    pub input: u64,
    /// Of answers.
    pub output: u64,
}

/// What may be used; whatever is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BudgetConfig {
    /// Requests per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Tokens per day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens per calendar month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
    /// Cost per day, in millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_day: Option<u64>,
    /// Cost per calendar month, in millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_month: Option<u64>,
    /// Answers under way at a time, in each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_streams: Option<u32>,
}

impl BudgetConfig {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something has to be remembered, and shared between replicas.
    pub fn needs_state(&self) -> bool {
        let remembered = Self {
            concurrent_streams: None,
            ..*self
        };
        !remembered.is_empty()
    }
}

impl BudgetsConfig {
    /// Whether nothing is limited and nothing has a price.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something has to be remembered, and shared between replicas.
    pub fn needs_state(&self) -> bool {
        let models = self.models.values().map(|model| &model.budget);
        [&self.gateway, &self.per_key]
            .into_iter()
            .chain(models)
            .any(BudgetConfig::needs_state)
    }
}

/// Where is remembered what was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum StateConfig {
    /// A file in the state directory.
    #[default]
    Sqlite,
    /// A PostgreSQL database behind this URL.
    Postgres(Redacted),
    /// Asked for, but not to be had: what needs it is refused.
    Unavailable {
        /// What is wrong, without any secret.
        reason: String,
    },
}

impl StateConfig {
    /// Whether it is what is used when nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
