//! What the kernel knows of a gateway's process, under the names that all Prometheus clients use.

use super::{Metric, Unit};

/// Processor time.
pub const CPU_SECONDS: Metric = Metric::counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time of the process, in user and system mode",
)
.measured_in(Unit::Seconds);
/// Memory.
pub const RESIDENT_MEMORY: Metric = Metric::gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory of the process that is resident",
)
.measured_in(Unit::Bytes);
/// Its start.
pub const START_TIME: Metric =
    Metric::gauge("process_start_time_seconds", &[], "When the process began")
        .measured_in(Unit::UnixSeconds);

/// All of them.
pub const ALL: &[&Metric] = &[&CPU_SECONDS, &RESIDENT_MEMORY, &START_TIME];
