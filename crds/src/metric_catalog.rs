//! Every metric of both programs: name, type, unit, labels and meaning.
//!
//! The registries of the programs register what stands here and nothing else; alerts, dashboards and `docs/metrics.md`
//! are made of the same constants, so none of them can name a metric that is not exported.

pub mod gateway;
pub mod operator;
pub mod process;
pub mod scrape;

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name in queries; counters end in `_total`.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What one of it is.
    pub unit: Unit,
    /// Its labels, in the order in which they are exported.
    pub labels: &'static [&'static str],
    /// What it tells, as one sentence without its full stop.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only up, from zero at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Observations, counted in buckets.
    Histogram,
}

/// What one of a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, or yes and no.
    One,
    /// Seconds.
    Seconds,
    /// Seconds since 1970.
    UnixSeconds,
    /// Bytes.
    Bytes,
    /// Whole processors.
    Cores,
}

impl Metric {
    const fn new(
        kind: MetricKind,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit: Unit::One,
            labels,
            help,
        }
    }

    const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(MetricKind::Counter, name, labels, help)
    }

    const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(MetricKind::Gauge, name, labels, help)
    }

    const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(MetricKind::Histogram, name, labels, help)
    }

    const fn measured_in(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The name under which registries take it: they add the `_total` of counters themselves.
    pub fn family(&self) -> &'static str {
        match self.kind {
            MetricKind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            MetricKind::Gauge | MetricKind::Histogram => self.name,
        }
    }

    /// The names of its series, as queries use them.
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            MetricKind::Counter | MetricKind::Gauge => vec![self.name.to_owned()],
            MetricKind::Histogram => ["bucket", "sum", "count"]
                .map(|part| format!("{}_{part}", self.name))
                .into(),
        }
    }

    /// The series of a histogram's buckets.
    pub fn buckets(&self) -> String {
        format!("{}_bucket", self.name)
    }
}

impl MetricKind {
    /// The word of the exposition format.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// For people; nothing where there is no unit.
    pub const fn label(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Seconds => "seconds",
            Self::UnixSeconds => "seconds since 1970",
            Self::Bytes => "bytes",
            Self::Cores => "cores",
        }
    }

    #[cfg(test)]
    const fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Seconds => "_seconds",
            Self::UnixSeconds => "_timestamp_seconds",
            Self::Bytes => "_bytes",
            Self::Cores => "_cores",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Metric> {
        [gateway::ALL, process::ALL, operator::ALL]
            .into_iter()
            .flatten()
            .copied()
    }

    #[test]
    fn names_follow_the_conventions() {
        for metric in all() {
            let name = metric.name;
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{name}"
            );
            // The process's start is the one name that tradition made.
            if *metric != process::START_TIME {
                assert!(metric.family().ends_with(metric.unit.suffix()), "{name}");
            }
            assert!(!metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        assert!(all().all(|metric| seen.insert(metric.name)));
    }

    #[test]
    fn no_label_is_one_that_scrapes_add() {
        // With such a label, Prometheus would keep its own and rename ours to exported_….
        const TAKEN: [&str; 8] = [
            "container",
            "endpoint",
            "instance",
            "job",
            "namespace",
            "pod",
            "service",
            "node",
        ];
        for metric in all() {
            assert!(
                metric.labels.iter().all(|label| !TAKEN.contains(label)),
                "{}",
                metric.name
            );
        }
    }
}
