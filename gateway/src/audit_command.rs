//! `clawdbot audit …`: audit logs as files, of a gateway that runs or of a copy.

mod csv;
mod filter;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufWriter, ErrorKind, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{
    AuditCommand, Environment, ExportArgs, ExportFormat, LogArgs, TailArgs, VerifyArgs,
};
use crate::audit::{FOLDER, Segment, chain_directories, verify, verify_part};
use crate::exit::Failure;
use filter::Filter;

/// How often a log that is followed is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// Run one of the commands.
pub fn run(command: AuditCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(VerifyArgs { log, part }) => check(&folder(log, environment), part),
        AuditCommand::Export(ExportArgs {
            log,
            filter,
            format,
        }) => {
            let mut printer = Printer::new(format)?;
            for chain in chains(&folder(log, environment))? {
                for segment in segments(&chain)? {
                    read(&segment, 0, |line| printer.print(line, &Filter(&filter)))?;
                }
            }
            printer.flush()
        }
        AuditCommand::Tail(args) => tail(args, environment),
    }
}

fn folder(log: LogArgs, environment: &Environment) -> PathBuf {
    let LogArgs {
        directory,
        state_dir,
    } = log;
    directory.unwrap_or_else(|| {
        state_dir
            .unwrap_or_else(|| environment.state_dir())
            .join(FOLDER)
    })
}

fn chains(log: &Path) -> Result<Vec<PathBuf>, Failure> {
    let chains = chain_directories(log).map_err(|error| unreadable(log, &error))?;
    if chains.is_empty() {
        let log = log.display();
        return Err(Failure::Io(format!(
            "{log}: there is no audit log; name its folder, or that of the state by --state-dir"
        )));
    }
    Ok(chains)
}

fn segments(chain: &Path) -> Result<Vec<Segment>, Failure> {
    Segment::list(chain).map_err(|error| unreadable(chain, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Io(format!("{}: cannot be read: {error}", path.display()))
}

fn check(log: &Path, is_part: bool) -> Result<(), Failure> {
    chains(log)?;
    let mut faults = Vec::new();
    let verify = if is_part { verify_part } else { verify };
    for chain in verify(log).map_err(|error| unreadable(log, &error))? {
        say(&format!(
            "{}: {} records in {} segments, the last is {}",
            chain.directory.display(),
            chain.records,
            chain.segments,
            chain.last
        ))?;
        if chain.torn_bytes > 0 {
            say(&format!(
                "{}: ends in {} bytes of a record that was never acknowledged",
                chain.directory.display(),
                chain.torn_bytes
            ))?;
        }
        faults.extend(chain.faults);
    }
    for fault in &faults {
        say(&fault.to_string())?;
    }
    match faults.len() {
        0 if is_part => say("these parts of the audit log are whole"),
        0 => say("the audit log is whole"),
        count => Err(Failure::Data(format!(
            "{}: the audit log is not what was written: {count} faults, the first is {}",
            log.display(),
            faults[0]
        ))),
    }
}

/// Hand over every whole line from `offset` on, and tell where the next one begins.
fn read(
    segment: &Segment,
    mut offset: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let lines = match segment.lines(offset) {
        Ok(lines) => lines,
        // Its time had come while we read.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(offset),
        Err(error) => return Err(unreadable(&segment.path, &error)),
    };
    for line in lines {
        let line = line.map_err(|error| unreadable(&segment.path, &error))?;
        let Some(whole) = line.strip_suffix(b"\n") else {
            break;
        };
        take(whole)?;
        offset += line.len() as u64;
    }
    Ok(offset)
}

fn tail(args: TailArgs, environment: &Environment) -> Result<(), Failure> {
    let TailArgs {
        log,
        filter,
        lines,
        follow,
    } = args;
    let log = folder(log, environment);
    let filter = Filter(&filter);
    let mut printer = Printer::new(ExportFormat::Json)?;
    let mut offsets = BTreeMap::new();
    for chain in chains(&log)? {
        let mut newest = VecDeque::new();
        for segment in segments(&chain)? {
            let offset = read(&segment, 0, |line| {
                if filter.admits(line) {
                    newest.push_back(line.to_owned());
                    if newest.len() > lines {
                        newest.pop_front();
                    }
                }
                Ok(())
            })?;
            offsets.insert(segment.path, offset);
        }
        for line in newest {
            printer.print(&line, &filter)?;
        }
    }
    printer.flush()?;
    if follow {
        go_on(&log, &filter, printer, offsets)?;
    }
    Ok(())
}

/// Print what is written from now on, until somebody interrupts.
fn go_on(
    log: &Path,
    filter: &Filter<'_>,
    mut printer: Printer,
    mut offsets: BTreeMap<PathBuf, u64>,
) -> Result<(), Failure> {
    loop {
        std::thread::park_timeout(FOLLOW_EVERY);
        for chain in chains(log)? {
            for segment in segments(&chain)? {
                let offset = offsets.entry(segment.path.clone()).or_default();
                *offset = read(&segment, *offset, |line| printer.print(line, filter))?;
            }
        }
        printer.flush()?;
    }
}

/// Standard output is what a command says; flushed as often as somebody may be waiting.
struct Printer {
    format: ExportFormat,
    output: BufWriter<StdoutLock<'static>>,
}

impl Printer {
    fn new(format: ExportFormat) -> Result<Self, Failure> {
        let mut printer = Self {
            format,
            output: BufWriter::new(std::io::stdout().lock()),
        };
        if format == ExportFormat::Csv {
            printer.write(csv::head().as_bytes())?;
        }
        Ok(printer)
    }

    fn print(&mut self, line: &[u8], filter: &Filter<'_>) -> Result<(), Failure> {
        if !filter.admits(line) {
            return Ok(());
        }
        match self.format {
            ExportFormat::Json => self.write(line),
            ExportFormat::Csv => match csv::row(line) {
                Some(row) => self.write(row.as_bytes()),
                None => Ok(()),
            },
        }
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        let mut write = || {
            self.output.write_all(line)?;
            self.output.write_all(b"\n")
        };
        write().map_err(|error| mute(&error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush().map_err(|error| mute(&error))
    }
}

fn mute(error: &std::io::Error) -> Failure {
    Failure::Io(format!("standard output cannot be written: {error}"))
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| mute(&error))
}
