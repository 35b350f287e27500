//! Flags of `clawdbot gateway` that say how long is waited.

use std::time::Duration;

use clap::Args;

use crate::provider::Timeouts;

/// How long is waited for answers, where a route does not say it.
#[derive(Clone, Copy, Debug, Args)]
pub struct TimeoutArgs {
    /// How long a remote model may take to the first token of a stream, before its fallback is tried.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration,
          env = "CLAWDBOT_FIRST_TOKEN_TIMEOUT")]
    pub first_token_timeout: Duration,
    /// How long a remote model may be silent within a stream.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration,
          env = "CLAWDBOT_IDLE_TIMEOUT")]
    pub idle_timeout: Duration,
    /// How long a remote model may take for an answer that is not streamed.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration,
          env = "CLAWDBOT_ANSWER_TIMEOUT")]
    pub answer_timeout: Duration,
    /// How long a request may take with all models that are tried, to the last byte of its answer.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration,
          env = "CLAWDBOT_TOTAL_TIMEOUT")]
    pub total_timeout: Duration,
}

impl TimeoutArgs {
    /// Those for one try of a remote model.
    pub fn of_one_try(&self) -> Timeouts {
        Timeouts {
            first_token: self.first_token_timeout,
            idle: self.idle_timeout,
            whole: self.answer_timeout,
        }
    }
}
