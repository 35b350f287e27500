//! `kubectl`, as a user runs it.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::AsyncWriteExt, process::Command};

/// The field manager of what users apply, in tests and in the demo.
const FIELD_MANAGER: &str = "kubectl";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not start.
    #[error("failed to start {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The API server, or kubectl, refused.
    #[error("{program} {arguments} failed: {message}")]
    Refused {
        /// The program.
        program: String,
        /// The arguments, joined.
        arguments: String,
        /// Its standard error.
        message: String,
    },
}

/// What a command that succeeded wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error: warnings of the API server.
    pub stderr: String,
}

/// `kubectl` with one user's kubeconfig, in one namespace.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: Option<String>,
}

impl Kubectl {
    /// The program with a user's kubeconfig.
    pub fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            namespace: None,
        }
    }

    /// The same, in a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// Run a command.
    pub async fn run(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Output, Error> {
        self.run_with_input(arguments, "").await
    }

    /// Apply a manifest, server-side, taking over fields from other managers.
    pub async fn apply(&self, manifest: &str) -> Result<Output, Error> {
        self.run_with_input(apply_arguments(OsStr::new("-")), manifest)
            .await
    }

    /// Apply a file or all files of a directory, likewise.
    pub async fn apply_path(&self, path: &Path) -> Result<Output, Error> {
        self.run(apply_arguments(path.as_os_str())).await
    }

    /// Run a command that reads standard input, as `--filename=-` does.
    pub async fn run_with_input(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: &str,
    ) -> Result<Output, Error> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments()).args(arguments);
        run(command, input).await
    }

    /// Run a shell script in a directory, whose `kubectl` is this user's in this namespace. It ends with the first
    /// command that fails.
    pub async fn run_script(&self, script: &str, directory: &Path) -> Result<Output, Error> {
        let programs = directory.join("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let arguments: Vec<String> = self.arguments().iter().map(|one| quoted(one)).collect();
        let wrapper = format!(
            "#!/bin/sh\nPATH={}\nexec {} {} \"$@\"\n",
            quoted(OsStr::new(&path)),
            quoted(self.program.as_os_str()),
            arguments.join(" "),
        );
        write_program(&programs, "kubectl", &wrapper).map_err(|source| Error::Start {
            program: programs.join("kubectl"),
            source,
        })?;
        let mut command = Command::new("sh");
        command
            .args(["-eu", "-c", script])
            .current_dir(directory)
            .env("PATH", format!("{}:{path}", programs.display()));
        run(command, "").await
    }

    /// What every command begins with.
    fn arguments(&self) -> Vec<&OsStr> {
        let mut arguments = vec![OsStr::new("--kubeconfig"), self.kubeconfig.as_os_str()];
        if let Some(namespace) = &self.namespace {
            arguments.extend([OsStr::new("--namespace"), OsStr::new(namespace)]);
        }
        arguments
    }
}

async fn run(mut command: Command, input: &str) -> Result<Output, Error> {
    let program = PathBuf::from(command.as_std().get_program());
    let start = |source| Error::Start {
        program: program.clone(),
        source,
    };
    command
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // Manifests are smaller than a pipe's buffer, or kubectl reads while we write; an error here means that it
    // ended early, and its exit code says why.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(start)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        return Ok(Output {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        });
    }
    let command = command.as_std();
    let shown: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    Err(Error::Refused {
        program: name_of(&program),
        arguments: shown.join(" "),
        message: text(&output.stderr),
    })
}

/// Without the cache that it lies in.
fn name_of(program: &Path) -> String {
    let name = program.file_name().unwrap_or(program.as_os_str());
    name.to_string_lossy().into_owned()
}

/// As one word of a shell.
fn quoted(text: &OsStr) -> String {
    format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"))
}

fn write_program(directory: &Path, name: &str, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
}

fn apply_arguments(what: &OsStr) -> [&OsStr; 7] {
    [
        OsStr::new("apply"),
        OsStr::new("--server-side"),
        OsStr::new("--force-conflicts"),
        OsStr::new("--field-manager"),
        OsStr::new(FIELD_MANAGER),
        OsStr::new("--filename"),
        what,
    ]
}
