//! What a process and its children use.

use std::time::Duration;

use anyhow::Context;

/// Processor time of a process and of those it started, so far.
pub(super) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    // The kernel's USER_HZ, which user space has seen as 100 on every Linux.
    const TICK: Duration = Duration::from_millis(10);
    let mut ticks = 0;
    for process in family(process)? {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
            .with_context(|| format!("process {process} is gone"))?;
        // After the name, which may hold anything, in parentheses: utime and stime are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").context("no process name")?;
        let field = |index: usize| -> anyhow::Result<u32> {
            let text = fields.split(' ').nth(index - 3).context("a short line")?;
            Ok(text.parse()?)
        };
        ticks += field(14)? + field(15)?;
    }
    Ok(TICK * ticks)
}

/// Resident memory of a process and of those it started, in MiB.
pub(super) fn resident_mebibytes(process: u32) -> anyhow::Result<f64> {
    let mut kibibytes = 0.0;
    for process in family(process)? {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        kibibytes += line.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(kibibytes / 1024.0)
}

fn family(process: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
            .with_context(|| format!("process {parent} is gone"))?;
        for child in children.split_whitespace() {
            found.push(child.parse()?);
        }
        next += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let process = std::process::id();
        assert!(resident_mebibytes(process).expect("read") > 0.1);
        processor_time(process).expect("read");
    }
}
