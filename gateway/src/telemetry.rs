//! Logs: one JSON object a line for machines, text for people at a terminal. To standard error, since standard
//! output belongs to what commands print.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

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

/// Start logging. `verbose` shows our own debug lines; those of libraries stay out.
pub fn init(format: LogFormat, verbose: bool) {
    let filter = if verbose {
        "info,clawdbot=debug,claw_inference=debug,claw_crds=debug"
    } else {
        "info"
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    let is_json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    // A second initialisation (in tests) changes nothing.
    let _ = if is_json {
        subscriber
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    } else {
        subscriber.try_init()
    };
    // A panic is one line of the log like everything else.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(at, message, "a panic");
    }));
}
