//! A PostgreSQL server of one test, on a free port, without any right that is not everybody's.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use claw_crds::gateway_config::Redacted;
use clawdbot::store::{Place, Store};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// For everything that should take far less.
const DEADLINE: Duration = Duration::from_mins(1);

/// A server; it ends with its test.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// A new server with an empty database.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let programs = programs();
        let made = unprivileged(&programs.join("initdb"))
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .args(["--username", "claw", "--auth", "trust", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C"])
            .output()
            .await
            .expect("initdb starts");
        assert!(
            made.status.success(),
            "initdb: {}{}",
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let mut postgres = Self {
            programs,
            folder,
            port,
            server: None,
        };
        postgres.resume().await;
        postgres
    }

    /// Start it again, with what it has.
    pub(crate) async fn resume(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        let server = unprivileged(&self.programs.join("postgres"))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string()])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            // Programs die here, machines do not.
            .args(["-c", "fsync=off"])
            // In its folder, which goes with the test, rather than in the memory of the machine.
            .args(["-c", "dynamic_shared_memory_type=mmap"])
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .expect("postgres starts");
        self.server = Some(server);
        let answers = async {
            let store = Store::new(self.place());
            while let Err(error) = store.bounded(store.begin()).await {
                let server = self.server.as_mut().expect("just started");
                if let Some(status) = server.try_wait().expect("a child") {
                    let log = std::fs::read_to_string(self.folder.path().join("log"));
                    panic!(
                        "postgres ended with {status}: {error}: {}",
                        log.unwrap_or_default()
                    );
                }
            }
        };
        tokio::time::timeout(DEADLINE, answers)
            .await
            .expect("postgres answers");
    }

    /// End it at once.
    pub(crate) async fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().await.expect("killed");
        // Its children hold the shared memory until they have noticed.
        let lock = self.folder.path().join("data/postmaster.pid");
        std::fs::remove_file(lock).expect("the lock file of a server that was killed");
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://claw@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn place(&self) -> Place {
        Place::Postgres(Redacted::new(self.url()))
    }
}

/// PostgreSQL refuses to run as root. In a user namespace of its own it is somebody else, who still owns its files.
fn unprivileged(program: &Path) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]);
        command.arg("setpriv");
        command
    } else {
        Command::new("setpriv")
    };
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Installed ones, else those that `cargo xtask test assets` has fetched.
fn programs() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")));
    let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let path = variable("PATH").unwrap_or_default();
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    let fetched = cache.map(|cache| cache.join("claw/postgres/bin"));
    installed
        .chain(std::env::split_paths(&path))
        .chain(fetched)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .expect("no PostgreSQL is installed: run `cargo xtask test assets`, which fetches one")
}
