//! What is logged: changed while the gateway runs.

use claw_crds::gateway_config::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

/// Our crates: the rest stays at `info`, since the debug lines of libraries may hold what we keep secret.
const OURS: [&str; 4] = ["clawdbot", "claw_inference", "claw_crds", "claw_telemetry"];

/// Sets what is logged.
#[derive(Clone)]
pub struct LogLevelControl {
    filter: reload::Handle<Targets, Registry>,
    verbose: bool,
}

impl LogLevelControl {
    /// And the filter that it controls.
    pub(super) fn new(verbose: bool) -> (Self, reload::Layer<Targets, Registry>) {
        let (layer, filter) = reload::Layer::new(targets(LogLevel::default(), verbose));
        (Self { filter, verbose }, layer)
    }

    /// As the configuration says; more, where the command line asks for debug lines.
    pub fn set(&self, level: LogLevel) {
        // There is nothing to set once the subscriber is gone, and nobody to tell.
        let _ = self.filter.reload(targets(level, self.verbose));
    }
}

fn targets(level: LogLevel, verbose: bool) -> Targets {
    let level = match level {
        _ if verbose => LevelFilter::DEBUG,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_targets(OURS.map(|target| (target, level)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_keep_their_debug_lines_for_themselves() {
        let debug = targets(LogLevel::Debug, false);
        assert!(debug.would_enable("clawdbot::server", &Level::DEBUG));
        assert!(!debug.would_enable("hyper::client", &Level::DEBUG));
        assert!(debug.would_enable("hyper::client", &Level::INFO));
    }

    #[test]
    fn the_command_line_wins() {
        assert!(targets(LogLevel::Error, true).would_enable("clawdbot", &Level::DEBUG));
        let errors = targets(LogLevel::Error, false);
        assert!(!errors.would_enable("clawdbot", &Level::WARN));
        assert!(!errors.would_enable("hyper", &Level::WARN));
    }
}
