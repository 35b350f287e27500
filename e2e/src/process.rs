//! Child processes that end with us: when dropped, when a test panics, and when this process is killed.
//!
//! It decides how a child is started, watched and ended. What the children are for is their users' business.

mod nursery;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// Why a child cannot be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its log file cannot be written.
    #[error("failed to write the log file {path}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It does not start.
    #[error("failed to start {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be signalled.
    #[error("failed to signal {name}")]
    Signal {
        /// The child's name.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It does not end.
    #[error("{name} did not end within {deadline:?}")]
    StillRunning {
        /// The child's name.
        name: String,
        /// How long was waited.
        deadline: Duration,
    },
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// For messages, and the name of the log file.
    name: String,
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// A program without arguments.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Add arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Set an environment variable; the others are inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The same, started by another program that takes it as its last arguments, such as `nsenter`.
    #[must_use]
    pub fn through(mut self, wrapper: &[OsString]) -> Self {
        if let [path, arguments @ ..] = wrapper {
            let program = std::mem::replace(&mut self.path, path.into());
            let own = std::mem::take(&mut self.arguments);
            self.arguments = arguments.to_vec();
            self.arguments.push(program.into_os_string());
            self.arguments.extend(own);
        }
        self
    }

    /// Start it; output and errors go to `<name>.log` in `directory`.
    pub fn start(self, directory: &Path) -> Result<ChildProcess, Error> {
        let log = directory.join(format!("{}.log", self.name));
        let open = || File::options().create(true).append(true).open(&log);
        let (out, err) = open()
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|source| Error::Log {
                path: log.clone(),
                source,
            })?;
        let mut command = ending_with_us(&self.path);
        command
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Ctrl-C in a terminal reaches this process alone, which then ends its children in its own order.
            .process_group(0);
        let child = nursery::spawn(command).map_err(|source| Error::Start {
            program: self.path,
            source,
        })?;
        Ok(ChildProcess {
            name: self.name,
            child,
            log,
        })
    }
}

/// `setpriv` asks the kernel to kill the program when its parent dies, and then becomes the program: same process id.
/// Where there is no `setpriv`, children outlive a parent that is killed, and only that.
fn ending_with_us(program: &Path) -> Command {
    match find_in_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The file of a program that is started by its name alone.
pub fn find_in_path(name: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(OsStr::new(name)))
        .find(|candidate| candidate.is_file())
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct ChildProcess {
    name: String,
    child: Child,
    log: PathBuf,
}

impl ChildProcess {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // An error here means there is no such child any more, which cannot be: only we wait for it.
        self.child.try_wait().ok().flatten()
    }

    /// Ask it to end (SIGTERM) and wait until it has.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("process ids are positive numbers of 32 bits");
        if self.ended().is_none() {
            kill_process(id, Signal::TERM).map_err(|error| Error::Signal {
                name: self.name.clone(),
                source: error.into(),
            })?;
        }
        self.wait(deadline).await
    }

    /// Wait until it ends by itself.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        let name = self.name.clone();
        until(deadline, async || self.ended())
            .await
            .ok_or(Error::StillRunning { name, deadline })
    }

    /// End it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.child
            .kill()
            .and_then(|()| self.child.wait().map(drop))
            .map_err(|source| Error::Signal {
                name: self.name.clone(),
                source,
            })
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The end of what it has written, under its name.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        let tail = all[all.len().saturating_sub(lines)..].join("\n");
        format!("--- {} ---\n{tail}", self.name)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell anyway.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> (tempfile::TempDir, Program) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        (directory, Program::new("child", "sh").args(["-c", script]))
    }

    fn is_alive(id: u32) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    }

    #[tokio::test]
    async fn output_lands_in_the_log() {
        let (directory, program) = shell("echo $GREETING; echo oops >&2; exit 3");
        let mut child = program
            .env("GREETING", "hello")
            .start(directory.path())
            .expect("started");
        let status = child.wait(SOON).await.expect("ends");
        assert_eq!(status.code(), Some(3));
        assert_eq!(child.log_tail(1), "--- child ---\noops");
        assert_eq!(child.log(), "hello\noops\n");
    }

    #[tokio::test]
    async fn a_dropped_child_is_gone() {
        let (directory, program) = shell("sleep 1000");
        let child = program.start(directory.path()).expect("started");
        let id = child.id();
        assert!(is_alive(id));
        drop(child);
        assert!(!is_alive(id));
    }

    #[tokio::test]
    async fn a_child_outlives_the_thread_that_asked_for_it() {
        let (directory, program) = shell("sleep 1000");
        let path = directory.path().to_owned();
        let mut child = std::thread::spawn(move || program.start(&path).expect("started"))
            .join()
            .expect("no panic");
        // The parent-death signal is sent when the parent *thread* ends; it must not be the asking one.
        assert!(child.wait(Duration::from_millis(200)).await.is_err());
        let status = child.terminate(SOON).await.expect("ends");
        assert!(!status.success());
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let missing = Program::new("child", "/nonexistent/program");
        let mut child = match missing.start(directory.path()) {
            Ok(child) => child,
            Err(error) => return assert!(error.to_string().contains("/nonexistent/program")),
        };
        // Through setpriv, the failure is an exit code and a line in the log.
        while child.ended().is_none() {
            std::thread::yield_now();
        }
        assert!(
            child.log().contains("/nonexistent/program"),
            "{}",
            child.log()
        );
    }
}
