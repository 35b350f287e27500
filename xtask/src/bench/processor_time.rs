//! What a process and its children use.

use std::time::Duration;

use anyhow::Context;

/// Processor time of a process and of those it started, so far.
pub(super) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let mut time = Duration::ZERO;
    for process in family(process)? {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
            .with_context(|| format!("process {process} is gone"))?;
        time += parse(&stat)?.1;
    }
    Ok(time)
}

/// The threads of a process that are there now: their names, of which the kernel keeps 15 bytes, and their processor time.
pub(super) fn threads(process: u32) -> anyhow::Result<Vec<(String, Duration)>> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // One that has ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else {
            continue;
        };
        let (name, time) = parse(&stat)?;
        found.push((name.to_owned(), time));
    }
    Ok(found)
}

/// The name and the processor time in a line of the kernel
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
fn parse(stat: &str) -> anyhow::Result<(&str, Duration)> {
    // The kernel's USER_HZ, which user space has seen as 100 on every Linux.
    const TICK: Duration = Duration::from_millis(10);
    // The name, which may hold anything, is in parentheses; utime and stime are fields 14 and 15.
    let (beginning, fields) = stat.rsplit_once(") ").context("no process name")?;
    let (_, name) = beginning.split_once('(').context("no process name")?;
    let field = |index: usize| -> anyhow::Result<u32> {
        let text = fields.split(' ').nth(index - 3).context("a short line")?;
        Ok(text.parse()?)
    };
    Ok((name, TICK * (field(14)? + field(15)?)))
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
        let name = std::thread::current().name().map(str::to_owned);
        let name = name
            .expect("a test has one")
            .chars()
            .take(15)
            .collect::<String>();
        let threads = threads(process).expect("read");
        // The test's whole path is longer than what the kernel keeps.
        assert!(
            threads.iter().any(|(found, _)| *found == name),
            "{threads:?}"
        );
    }

    #[test]
    fn a_name_may_look_like_anything() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let line = format!("7 (a) (b) {}", fields.join(" "));
        let (name, time) = parse(&line).expect("readable");
        assert_eq!(
            (name, time),
            ("a) (b", Duration::from_millis((14 + 15) * 10))
        );
        assert!(parse("7 (x) 1 2").is_err());
    }
}
