//! Logs: one JSON object a line for machines, text for people at a terminal. To standard error, since standard
//! output belongs to what commands print. And traces, where the environment asks for them.

pub mod caller_trace;
mod log_level;
mod model_call;

use std::io::IsTerminal as _;

use claw_telemetry::Traces;
use claw_telemetry::logs::{EcsLayer, LogWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::metrics::LogEvents;

pub use log_level::LogLevelControl;
pub use model_call::ModelCall;

/// The shape of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text at a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line, with the field names of the Elastic Common Schema.
    Json,
    /// For people.
    Text,
}

/// Why a program would run unseen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exporter of traces.
    #[error(transparent)]
    Traces(#[from] claw_telemetry::Error),
    /// The thread that writes the log.
    #[error("failed to start a thread for the log")]
    Thread(#[source] std::io::Error),
}

/// What a program says about itself.
pub struct Telemetry {
    /// How often it logged errors and warnings.
    pub log_events: LogEvents,
    /// What is logged.
    pub log_level: LogLevelControl,
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

/// Start logging, counting what is logged, and tracing. `verbose` shows our own debug lines whatever the configuration
/// says; those of libraries stay out.
pub fn init(format: LogFormat, verbose: bool) -> Result<Telemetry, Error> {
    let log_events = LogEvents::default();
    let traces = Traces::from_environment("clawdbot")?;
    let (log_level, filter) = LogLevelControl::new(verbose);
    let (lines, writer) = lines(format)?;
    let logs = lines.and_then(log_events.clone()).with_filter(filter);
    let mut layers = vec![logs.boxed()];
    layers.extend(traces.layer("clawdbot"));
    // A second initialisation (in tests) changes nothing.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    // A panic is one line of the log like everything else.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(at, error.message = message, "a panic");
    }));
    Ok(Telemetry {
        log_events,
        log_level,
        traces,
        writer,
    })
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

fn lines(format: LogFormat) -> Result<(Lines, Option<LogWriter>), Error> {
    let is_json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    if !is_json {
        return Ok((fmt::layer().with_writer(std::io::stderr).boxed(), None));
    }
    let writer = LogWriter::to_standard_error().map_err(Error::Thread)?;
    let layer = EcsLayer::new(writer.clone(), "clawdbot", env!("CARGO_PKG_VERSION"));
    Ok((layer.boxed(), Some(writer)))
}
