//! How long a request waits: what its rule says, else what the gateway does by default.

use std::time::Duration;

use claw_crds::gateway_config::TimeoutsConfig;
use tokio::time::Instant;

use crate::error::GatewayError;
use crate::provider::Timeouts;

/// What no request outlives, where a limit is beyond all clocks.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For one try of a remote model.
    pub(super) remote: Timeouts,
    /// For one try of a local model.
    pub(super) local: LocalLimits,
    /// For everything.
    pub(super) deadline: Deadline,
}

/// Limits of a model in this process; absent means that only the deadline counts. A queue or a long prompt takes as long
/// as it takes, unless the rule knows better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LocalLimits {
    pub(super) first_token: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) answer: Option<Duration>,
}

/// When a request must be over, from its dispatch to the last byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    total: Duration,
}

impl Limits {
    /// From now on. `default` and `total` hold where the rule says nothing.
    pub(super) fn new(rule: &TimeoutsConfig, default: Timeouts, total: Duration) -> Self {
        let TimeoutsConfig {
            first_token_ms,
            idle_ms,
            answer_ms,
            total_ms,
        } = *rule;
        let [first_token, idle, answer, rule_total] =
            [first_token_ms, idle_ms, answer_ms, total_ms].map(|ms| ms.map(Duration::from_millis));
        Self {
            remote: Timeouts {
                first_token: first_token.unwrap_or(default.first_token),
                idle: idle.unwrap_or(default.idle),
                whole: answer.unwrap_or(default.whole),
            },
            local: LocalLimits {
                first_token,
                idle,
                answer,
            },
            deadline: Deadline::after(rule_total.unwrap_or(total)),
        }
    }
}

impl Deadline {
    pub(super) fn after(total: Duration) -> Self {
        let now = Instant::now();
        Self {
            at: now.checked_add(total).unwrap_or_else(|| now + LONGEST),
            total,
        }
    }

    pub(super) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(super) fn total(self) -> Duration {
        self.total
    }

    /// What a request is told whose time is over, while this model was to answer it.
    pub(super) fn passed(self, model: &str) -> GatewayError {
        GatewayError::TotalTimeout {
            model: model.to_owned(),
            limit: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Timeouts = Timeouts {
        first_token: Duration::from_secs(30),
        idle: Duration::from_mins(1),
        whole: Duration::from_mins(2),
    };
    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_says_nothing_leaves_the_defaults() {
        let limits = Limits::new(&TimeoutsConfig::default(), DEFAULT, HOUR);
        assert_eq!(limits.remote.first_token, DEFAULT.first_token);
        assert_eq!(limits.remote.whole, DEFAULT.whole);
        assert_eq!(limits.local, LocalLimits::default());
        assert_eq!(limits.deadline.left(), HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_says_something_is_heard_for_both_kinds_of_model() {
        let rule = TimeoutsConfig {
            first_token_ms: Some(5000),
            total_ms: Some(7000),
            ..TimeoutsConfig::default()
        };
        let limits = Limits::new(&rule, DEFAULT, HOUR);
        let five = Duration::from_secs(5);
        assert_eq!(
            (limits.remote.first_token, limits.remote.idle),
            (five, DEFAULT.idle)
        );
        assert_eq!(limits.local.first_token, Some(five));
        assert_eq!(limits.local.idle, None);
        assert_eq!(limits.deadline.left(), Duration::from_secs(7));
    }
}
