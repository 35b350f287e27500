//! The `clawdbot` program; see the library for everything.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use clawdbot::args::{Cli, Command, Environment};
use clawdbot::exit::Failure;
use clawdbot::{audit_command, doctor, gateway, model_command};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to tell it to, should standard error be closed.
            let _ = writeln!(std::io::stderr(), "clawdbot: {failure}");
            failure.into()
        }
    }
}

fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are printed as errors, but are none.
        Err(message) if !message.use_stderr() => {
            let _ = message.print();
            return Ok(());
        }
        Err(error) => return Err(Failure::Usage(error.to_string())),
    };
    match cli.command {
        Command::Gateway(args) => gateway::run(*args, Environment::read()),
        Command::Model(command) => model_command::run(command, &Environment::read()),
        Command::Doctor(command) => doctor::run(&command),
        Command::Audit(command) => audit_command::run(command, &Environment::read()),
    }
}
