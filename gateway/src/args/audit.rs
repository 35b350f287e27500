//! `clawdbot audit …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};

/// What can be done with an audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no record was changed, removed or put in; code 65 with file, line and record where one was.
    Verify(VerifyArgs),
    /// Print records, oldest first in each chain.
    Export(ExportArgs),
    /// Print the newest records.
    Tail(TailArgs),
}

/// Where the log is.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Folder of the log, or of one chain of it. Default: `audit` in the state directory.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Folder of the gateway's state, where DIR is not given. Default: as for `clawdbot gateway`.
    #[arg(long, value_name = "DIR", env = "CLAWDBOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Flags of `clawdbot audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Where the log is.
    #[command(flatten)]
    pub log: LogArgs,
    /// Only some segments are there, of an archive for example: check them as far as they go, without a manifest. That
    /// some are missing at either end is not found.
    #[arg(long)]
    pub part: bool,
}

/// Which records.
#[derive(Debug, Default, Args)]
pub struct FilterArgs {
    /// Not before this time (RFC 3339), or this long ago, e.g. 24h.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,
    /// Before this time (RFC 3339), or this long ago.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,
    /// Of this caller, as in user.name.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Answered by this model.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Of this kind, as in event.action, e.g. request or configuration-applied.
    #[arg(long, value_name = "NAME")]
    pub action: Option<String>,
}

/// Flags of `clawdbot audit export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Where the log is.
    #[command(flatten)]
    pub log: LogArgs,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// The form: json is the lines as they are stored, csv has a column for each common field.
    #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
    pub format: ExportFormat,
}

/// The form of exported records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// JSON lines, byte for byte.
    #[default]
    Json,
    /// Comma-separated values with a head.
    Csv,
}

/// Flags of `clawdbot audit tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Where the log is.
    #[command(flatten)]
    pub log: LogArgs,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How many of each chain.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub lines: usize,
    /// Go on with what is written, until interrupted.
    #[arg(short, long)]
    pub follow: bool,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return SignedDuration::try_from(ago)
            .ok()
            .and_then(|ago| Timestamp::now().checked_sub(ago).ok())
            .ok_or_else(|| "too long ago".to_owned());
    }
    text.parse()
        .map_err(|_| "neither a time like 2026-02-03T04:05:06Z nor a duration like 24h".to_owned())
}
