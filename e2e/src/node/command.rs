//! Short commands, run to their end.

use std::process::{ExitStatus, Stdio};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It does not start.
    #[error("failed to start {command}")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It reports failure.
    #[error("`{command}` ended with {status}: {message}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        message: String,
    },
}

/// Run a command that takes its time; gives its standard output. It ends with the future.
pub(super) async fn output(mut command: tokio::process::Command) -> Result<String, CommandError> {
    let shown = shown(command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    judge(shown, output.await)
}

/// The same for a command that is over at once.
pub(super) fn run(command: &mut std::process::Command) -> Result<String, CommandError> {
    let shown = shown(command);
    judge(shown, command.stdin(Stdio::null()).output())
}

fn judge(
    command: String,
    output: std::io::Result<std::process::Output>,
) -> Result<String, CommandError> {
    match output {
        Err(source) => Err(CommandError::Start { command, source }),
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()),
        Ok(output) => Err(CommandError::Failed {
            command,
            status: output.status,
            message: String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned(),
        }),
    }
}

fn shown(command: &std::process::Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
