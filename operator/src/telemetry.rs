//! Logs.

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, util::SubscriberInitExt};

use crate::args::LogFormat;

/// Send log lines to standard error; `filter` says which.
pub fn init(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call, as tests make it, leaves the first one in force.
    let _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => lines.finish().try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(init(LogFormat::Json, "claw_operator=loud").is_err());
    }
}
