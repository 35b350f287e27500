//! `clawdbot doctor …`.

use clap::{Args, Subcommand, ValueEnum};

/// What can be examined.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Say what local models need of a GPU, what is there, and what is missing. Ends with code 69 where something is.
    Gpu(GpuArgs),
}

/// Flags of `clawdbot doctor gpu`.
#[derive(Debug, Args)]
pub struct GpuArgs {
    /// How it is told.
    #[arg(long, value_enum, default_value_t = DoctorFormat::Text)]
    pub format: DoctorFormat,
}

/// How something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}
