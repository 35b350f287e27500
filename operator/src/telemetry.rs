//! Logs, and traces where the environment asks for them.

use claw_telemetry::Traces;
use tracing_subscriber::{
    EnvFilter, Layer, filter::ParseError, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::args::LogFormat;

/// Why the operator would run unseen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter.
    #[error(
        "invalid value for --log-level: use error, warn, info, debug, trace or a filter such as warn,kube=info"
    )]
    LogLevel(#[source] ParseError),
    /// The exporter of traces.
    #[error("failed to start tracing")]
    Traces(#[source] claw_telemetry::Error),
}

/// Send log lines to standard error, as `filter` says, and spans to where the environment says.
pub fn init(format: LogFormat, filter: &str) -> Result<Traces, Error> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(Error::LogLevel)?;
    let traces = Traces::from_environment("claw-operator").map_err(Error::Traces)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    let mut layers = vec![lines.with_filter(filter).boxed()];
    layers.extend(traces.layer("claw_operator"));
    // A second call, as tests make it, leaves the first one in force.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(init(LogFormat::Json, "claw_operator=loud").is_err());
    }
}
