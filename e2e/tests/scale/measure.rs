//! What a process costs, as the kernel counts it.

use std::time::Duration;

/// Ticks per second of the times in `/proc`, which is 100 on every Linux of today.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time used so far.
pub(crate) fn cpu_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which may hold anything, come the state and 10 numbers, then user and system time.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

/// CPU time that the whole machine has used so far.
pub(crate) fn machine_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    // `cpu`, then user, nice, system, idle, waiting, and two kinds of interrupts.
    let times = stat.lines().next()?.split_whitespace().skip(1).take(7);
    let times: Vec<u64> = times.map(str::parse).collect::<Result<_, _>>().ok()?;
    let ticks = times.iter().sum::<u64>() - times.get(3)? - times.get(4)?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory in bytes: now (`VmRSS`) or at its highest (`VmHWM`).
pub(crate) fn memory(process: u32, which: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    let kilobytes = line.trim_start_matches(':').trim().strip_suffix(" kB")?;
    Some(kilobytes.trim().parse::<u64>().ok()? * 1024)
}
