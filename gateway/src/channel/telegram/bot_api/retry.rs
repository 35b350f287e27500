//! When a call is made again. Pure.

use std::time::Duration;

use super::BotApiError;

/// When a failed call is made again, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Calls in all.
    pub attempts: u32,
    /// The first pause; it doubles each time.
    pub first_delay: Duration,
    /// The longest pause of our own choice.
    pub max_delay: Duration,
    /// The longest pause that Telegram may ask for; beyond it the call is given up.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(8),
            max_retry_after: Duration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after this attempt; `None` to give up.
    pub(crate) fn delay(&self, error: &BotApiError, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = self
            .first_delay
            .saturating_mul(2_u32.saturating_pow(attempt - 1))
            .min(self.max_delay);
        match error {
            BotApiError::TooMany { retry_after, .. } => {
                Some(*retry_after).filter(|wait| *wait <= self.max_retry_after)
            }
            BotApiError::Unavailable { .. } => Some(doubled),
            // After a connection stood, the call may have been carried out: a second one would say things twice.
            BotApiError::Transport { source, .. } => source.is_connect().then_some(doubled),
            BotApiError::NotAllowed { .. }
            | BotApiError::Refused { .. }
            | BotApiError::Malformed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const METHOD: &str = "sendMessage";

    fn delays(error: &BotApiError) -> Vec<Option<u128>> {
        let policy = RetryPolicy {
            attempts: 7,
            ..RetryPolicy::default()
        };
        (1..=7)
            .map(|attempt| policy.delay(error, attempt).map(|delay| delay.as_millis()))
            .collect()
    }

    #[test]
    fn a_broken_api_is_called_with_growing_pauses() {
        let error = BotApiError::Unavailable {
            method: METHOD,
            status: StatusCode::BAD_GATEWAY,
        };
        assert_eq!(
            delays(&error),
            [500, 1000, 2000, 4000, 8000, 8000]
                .map(Some)
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn telegram_says_how_long_to_wait_within_reason() {
        let error = |seconds| BotApiError::TooMany {
            method: METHOD,
            retry_after: Duration::from_secs(seconds),
        };
        assert_eq!(delays(&error(17))[0], Some(17_000));
        assert_eq!(delays(&error(86_400))[0], None);
    }

    #[test]
    fn a_wrong_call_is_not_repeated() {
        let refused = BotApiError::Refused {
            method: METHOD,
            status: StatusCode::FORBIDDEN,
            description: "bot was blocked by the user".into(),
        };
        assert_eq!(delays(&refused)[0], None);
        assert_eq!(delays(&BotApiError::Malformed { method: METHOD })[0], None);
    }
}
