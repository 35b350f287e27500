//! Logs: one JSON object a line for machines, text for people at a terminal. To standard error, since standard
//! output belongs to what commands print. And traces, where the environment asks for them.

use std::io::IsTerminal as _;

use claw_telemetry::Traces;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::metrics::LogEvents;

/// The shape of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text at a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What a program says about itself.
pub struct Telemetry {
    /// How often it logged errors and warnings.
    pub log_events: LogEvents,
    /// Its spans.
    pub traces: Traces,
}

/// Start logging, counting what is logged, and tracing. `verbose` shows our own debug lines; those of libraries stay
/// out.
pub fn init(format: LogFormat, verbose: bool) -> Result<Telemetry, claw_telemetry::Error> {
    let filter = if verbose {
        "info,clawdbot=debug,claw_inference=debug,claw_crds=debug"
    } else {
        "info"
    };
    let log_events = LogEvents::default();
    let traces = Traces::from_environment("clawdbot")?;
    let logs = lines(format)
        .and_then(log_events.clone())
        .with_filter(EnvFilter::new(filter));
    let mut layers = vec![logs.boxed()];
    layers.extend(traces.layer("clawdbot"));
    // A second initialisation (in tests) changes nothing.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    // A panic is one line of the log like everything else.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(at, message, "a panic");
    }));
    Ok(Telemetry { log_events, traces })
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let is_json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    if is_json {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    } else {
        lines.boxed()
    }
}
