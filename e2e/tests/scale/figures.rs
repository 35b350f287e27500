//! What was seen, and what must hold of it.

use std::{fmt, time::Duration};

use libtest_mimic::Failed;

/// The operator's resident memory with a thousand gateways, at most: 80 MiB.
const MOST_MEMORY: u64 = 80 * 1024 * 1024;
/// The number of gateways that this bound is meant for.
const MEMORY_GATEWAYS: usize = 1000;
/// What the operator may use of one CPU while nothing happens, in percent.
const MOST_QUIET_CPU: f64 = 1.0;

/// What was seen.
pub(crate) struct Figures {
    pub(crate) gateways: usize,
    pub(crate) reconciled: Duration,
    /// CPU time of the operator until then.
    pub(crate) operator_cpu: Duration,
    /// CPU time of everything on the machine meanwhile.
    pub(crate) machine_cpu: Duration,
    /// Of the operator, until then.
    pub(crate) writes: usize,
    /// The same with those that the controllers of Kubernetes made necessary later.
    pub(crate) all_writes: usize,
    pub(crate) quiet: Duration,
    pub(crate) quiet_writes: Vec<String>,
    pub(crate) quiet_requests: u64,
    pub(crate) quiet_cpu: Duration,
    pub(crate) memory: u64,
    pub(crate) highest_memory: u64,
    pub(crate) edits: Vec<Duration>,
}

impl fmt::Display for Figures {
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let mut edits = self.edits.clone();
        edits.sort();
        write!(
            formatter,
            "{} gateways, each with a route and a channel: reconciled in {:.1} s ({:.1} s of CPU by the operator, {:.1} s in all) with {} writes, {} when all \
             is settled; for each gateway {:.2} writes, {:.2} ms of CPU by the operator, {:.1} KiB resident; then in {} s: {} writes by the operator, {} by anybody as the API server counts (leases apart), {:.2} % of a CPU; resident \
             {:.1} MiB, at most {:.1} MiB; one route edit applied: p50 {:.0} ms, slowest of {} {:.0} ms",
            self.gateways,
            self.reconciled.as_secs_f64(),
            self.operator_cpu.as_secs_f64(),
            self.machine_cpu.as_secs_f64(),
            self.writes,
            self.all_writes,
            self.each(self.writes as f64),
            self.each(self.operator_cpu.as_secs_f64() * 1000.0),
            self.each(self.memory as f64 / 1024.0),
            self.quiet.as_secs(),
            self.quiet_writes.len(),
            self.quiet_requests,
            self.quiet_cpu_percent(),
            mebibytes(self.memory),
            mebibytes(self.highest_memory),
            edits[edits.len() / 2].as_secs_f64() * 1000.0,
            edits.len(),
            edits[edits.len() - 1].as_secs_f64() * 1000.0,
        )
    }
}

impl Figures {
    /// Divided by the gateways: the same in runs of any size where cost grows with their number, and no faster.
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer gateways than that"
    )]
    fn each(&self, total: f64) -> f64 {
        total / self.gateways as f64
    }

    /// Of one CPU.
    fn quiet_cpu_percent(&self) -> f64 {
        100.0 * self.quiet_cpu.as_secs_f64() / self.quiet.as_secs_f64()
    }

    /// What must hold on every machine.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        if let Some(write) = self.quiet_writes.first() {
            return Err(format!("the operator wrote while nothing happened, first {write}").into());
        }
        // By anybody: a write that the operator causes in a controller of Kubernetes is as bad as its own.
        if self.quiet_requests != 0 {
            return Err(format!(
                "{} writes while nothing happened, none by the operator",
                self.quiet_requests
            )
            .into());
        }
        let percent = self.quiet_cpu_percent();
        if percent >= MOST_QUIET_CPU {
            return Err(format!(
                "the operator takes {percent:.2} % of a CPU while nothing happens, not less than {MOST_QUIET_CPU} %"
            )
            .into());
        }
        if self.gateways <= MEMORY_GATEWAYS && self.memory > MOST_MEMORY {
            return Err(format!(
                "the operator takes {} bytes, more than {MOST_MEMORY}",
                self.memory
            )
            .into());
        }
        Ok(())
    }
}
