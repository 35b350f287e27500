//! Logs, and traces where the environment asks for them.

use claw_telemetry::{
    Traces,
    logs::{EcsLayer, LogWriter},
};
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
    /// The thread that writes the log.
    #[error("failed to start a thread for the log")]
    Thread(#[source] std::io::Error),
}

/// What the operator says about itself.
pub struct Telemetry {
    traces: Traces,
    /// Nothing where each line is written as it comes.
    writer: Option<LogWriter>,
}

impl Telemetry {
    /// Write and send what is left. Blocks, for 5 seconds at most.
    pub fn finish(&self) {
        self.traces.finish();
        if let Some(writer) = &self.writer {
            writer.flush();
        }
    }
}

/// Send log lines to standard error, as `filter` says, and spans to where the environment says.
pub fn init(format: LogFormat, filter: &str) -> Result<Telemetry, Error> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(Error::LogLevel)?;
    let traces = Traces::from_environment("claw-operator").map_err(Error::Traces)?;
    let (lines, writer) = match format {
        LogFormat::Json => {
            let writer = LogWriter::to_standard_error().map_err(Error::Thread)?;
            let version = env!("CARGO_PKG_VERSION");
            let layer = EcsLayer::new(writer.clone(), "claw-operator", version);
            (layer.boxed(), Some(writer))
        }
        LogFormat::Text => (fmt::layer().with_writer(std::io::stderr).boxed(), None),
    };
    let mut layers = vec![lines.with_filter(filter).boxed()];
    layers.extend(traces.layer("claw_operator"));
    // A second call, as tests make it, leaves the first one in force.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(Telemetry { traces, writer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(init(LogFormat::Json, "claw_operator=loud").is_err());
    }
}
