//! Many gateways on a real API server: how long the operator takes, what it costs when nothing happens, and how long
//! one edit among them takes.
//!
//! `cargo xtask test scale` runs it with a thousand gateways, `cargo xtask bench scale` with the numbers it is given.
//! Times are printed, not asserted: machines differ. What is asserted does not depend on the machine's speed: that
//! everything gets reconciled, that nobody writes afterwards and the operator hardly computes, and how much memory it
//! takes. Writes, CPU time and memory for each gateway show, when runs of different sizes are compared, whether cost grows
//! faster than their number.

mod figures;
mod measure;
mod objects;
mod operator;
mod scenario;
mod writes;

use std::{io::Write as _, process::ExitCode};

use claw_e2e::{Cluster, cluster::Kind};
use libtest_mimic::{Arguments, Failed, Trial};
use scenario::Plan;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let plan = Plan::from_environment();
    let is_asked_for = plan.is_some();
    let test = move || {
        let plan = plan.ok_or("run `cargo xtask test scale`, which builds the operator first")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(run(&plan))
    };
    let trial = Trial::test("many_gateways_cost_little_and_an_edit_is_fast", test);
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(!is_asked_for)]).exit_code()
}

async fn run(plan: &Plan) -> Result<(), Failed> {
    let mut cluster = Cluster::start(Kind::ControlPlane, &mut tell).await?;
    let figures = scenario::run(&mut cluster, plan, &mut tell).await?;
    tell(&figures.to_string());
    figures.check()?;
    Ok(())
}

/// Standard error, line by line: standard output belongs to the test results.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
