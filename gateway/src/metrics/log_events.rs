//! Counts the lines of the log that somebody should read.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::labels::LogLabels;

/// Counts of log lines; clones share them.
#[derive(Clone, Debug)]
pub struct LogEvents(pub(super) Family<LogLabels, Counter>);

impl Default for LogEvents {
    fn default() -> Self {
        let counts = Self(Family::default());
        // Our own begin at zero: the rate of a series that appears with its first error misses that error.
        for level in ["error", "warn"] {
            counts.at(level, "clawdbot");
        }
        counts
    }
}

impl LogEvents {
    fn at(&self, level: &'static str, target: &'static str) -> Counter {
        self.0.get_or_create_owned(&LogLabels { level, target })
    }
}

/// As a layer of the log it sees what the log's filter lets through.
impl<S: Subscriber> Layer<S> for LogEvents {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => return,
        };
        let target: &'static str = metadata.target();
        // The crate only: modules are many, and change.
        let target = target.split("::").next().unwrap_or(target);
        // Lost traces are no error of the service, and come every few seconds while a collector is away.
        let is_about_traces = target.starts_with("opentelemetry");
        let level = if is_about_traces { "warn" } else { level };
        self.at(level, target).inc();
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn errors_and_warnings_are_counted_by_crate_and_the_rest_is_not() {
        let counts = LogEvents::default();
        let subscriber = tracing_subscriber::registry().with(counts.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("a");
            tracing::error!(target: "kube_client::client", "b");
            tracing::warn!("c");
            tracing::error!(target: "opentelemetry_sdk", "lost");
            tracing::info!("d");
        });
        let count = |level, target| counts.at(level, target).get();
        assert_eq!(count("error", "clawdbot"), 1);
        assert_eq!(count("error", "kube_client"), 1);
        assert_eq!(count("warn", "clawdbot"), 1);
        assert_eq!(count("warn", "opentelemetry_sdk"), 1);
        assert_eq!(count("error", "opentelemetry_sdk"), 0);
    }
}
