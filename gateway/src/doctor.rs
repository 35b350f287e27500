//! `clawdbot doctor …`: what this machine has, and what it lacks.

mod check;
mod gpu;
mod libraries;

use std::io::Write as _;
use std::path::Path;

use crate::args::{DoctorCommand, DoctorFormat, GpuArgs};
use crate::exit::Failure;
use check::Report;

/// Run one of the commands.
pub fn run(command: &DoctorCommand) -> Result<(), Failure> {
    match command {
        DoctorCommand::Gpu(GpuArgs { format }) => {
            let report = gpu::examine(Path::new("/"));
            tell(&report, *format)?;
            match report.fault() {
                None => Ok(()),
                Some(fault) => Err(Failure::Unavailable(format!("no usable GPU: {fault}"))),
            }
        }
    }
}

fn tell(report: &Report, format: DoctorFormat) -> Result<(), Failure> {
    let text = match format {
        DoctorFormat::Text => report.to_string(),
        DoctorFormat::Json => report.to_json(),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Io(format!("standard output cannot be written: {error}")))
}
