//! The command line. Everything here is parsed and checked before a port is opened; see [`crate::exit`] for codes.

mod audit;
mod doctor;
mod gateway;
mod model;
mod model_argument;
mod outbound_argument;
mod source_argument;
mod task_argument;
mod timeouts;

use clap::{Parser, Subcommand};

pub use audit::{
    AuditCommand, ExportArgs, ExportFormat, FilterArgs, LogArgs, TailArgs, VerifyArgs,
};
pub use doctor::{DoctorCommand, DoctorFormat, GpuArgs};
pub use gateway::{Environment, GatewayArgs};
pub use model::{FetchArgs, ImportArgs, ModelCommand, PullArgs, Weights};
pub use model_argument::{ModelArgument, ModelTarget};
pub use outbound_argument::{InvalidOutboundArgument, OutboundArgument};
pub use source_argument::{InvalidSourceArgument, SourceArgument};
pub use task_argument::{InvalidTaskArgument, TaskArgument};
pub use timeouts::TimeoutArgs;

/// An AI chat gateway: one door to local and remote models.
#[derive(Debug, Parser)]
#[command(name = "clawdbot", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve models and channels.
    Gateway(Box<GatewayArgs>),
    /// Fetch and import models.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Check and read audit logs.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Examine this machine.
    #[command(subcommand)]
    Doctor(DoctorCommand),
}

const EXIT_CODES: &str = "Exit codes: 0 done or drained, 64 bad flags or configuration, 65 bad data (corrupt file, wrong \
sha256, altered audit log), 69 a port cannot be opened or no GPU can be used, 70 internal error, 74 reading or writing failed, 75 not ready in time.";
