//! What this process uses, read at every scrape, and what it may use.

use std::fmt;

use claw_crds::metric_catalog::{Metric, gateway as catalog, process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::control_group::ControlGroup;

/// Reads the kernel's accounts of this process.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    group: ControlGroup,
    /// Processors meant for us, where somebody said so.
    cpu_capacity: Option<f64>,
    started: jiff::Timestamp,
}

impl ProcessCollector {
    pub(super) fn new(cpu_capacity: Option<f64>) -> Self {
        Self {
            group: ControlGroup::own(),
            cpu_capacity,
            started: jiff::Timestamp::now(),
        }
    }

    fn cpu_capacity(&self) -> f64 {
        self.cpu_capacity
            .or_else(|| self.group.cpu_quota())
            .unwrap_or_else(|| {
                let all = std::thread::available_parallelism();
                let all = all.map_or(1, std::num::NonZero::get);
                u32::try_from(all).map_or(f64::MAX, f64::from)
            })
    }

    /// A group may allow more than there is.
    fn memory_limit(&self) -> Option<u64> {
        [self.group.memory_limit(), total_memory()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // What the kernel does not tell is left out: a zero would look like an idle process.
        if let Some(seconds) = cpu_seconds() {
            write(
                &mut encoder,
                &process::CPU_SECONDS,
                &ConstCounter::new(seconds),
            )?;
        }
        if let Some(bytes) = resident_bytes() {
            write(
                &mut encoder,
                &process::RESIDENT_MEMORY,
                &ConstGauge::new(bytes),
            )?;
        }
        let started = self.started.as_second();
        write(
            &mut encoder,
            &process::START_TIME,
            &ConstGauge::new(started),
        )?;
        let capacity = ConstGauge::new(self.cpu_capacity());
        write(&mut encoder, &catalog::CPU_CAPACITY, &capacity)?;
        if let Some(bytes) = self.memory_limit() {
            write(
                &mut encoder,
                &catalog::MEMORY_LIMIT,
                &ConstGauge::new(bytes),
            )?;
        }
        Ok(())
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    value: &impl EncodeMetric,
) -> fmt::Result {
    // The same full stop that the registry gives to its own.
    let help = format!("{}.", metric.help);
    let encoder = encoder.encode_descriptor(metric.family(), &help, None, value.metric_type())?;
    value.encode(encoder)
}

/// User and system time: fields 14 and 15 of `/proc/self/stat`, counted from behind the name, which may hold spaces.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a double counts ticks exactly for longer than any machine runs"
    )]
    Some(ticks as f64 / per_second as f64)
}

/// The second field of `/proc/self/statm`, in pages.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(pages * page)
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_we_use() {
        let before = cpu_seconds().expect("told");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while cpu_seconds().expect("told") <= before {
            assert!(
                std::time::Instant::now() < deadline,
                "the time stands still"
            );
        }
        let resident = resident_bytes().expect("told");
        assert!(resident > 1 << 20, "{resident}");
        assert!(total_memory().expect("told") > resident);
    }

    #[test]
    fn what_somebody_said_is_the_capacity() {
        assert!((ProcessCollector::new(Some(2.5)).cpu_capacity() - 2.5).abs() < f64::EPSILON);
        assert!(ProcessCollector::new(None).cpu_capacity() > 0.0);
    }
}
