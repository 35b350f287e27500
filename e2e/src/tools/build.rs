//! Building programs of one module with Go, into a directory of the cache where each appears only when it is complete.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Error, cache,
    cache::CacheError,
    go,
    module::{Module, Pin},
    tool::Tool,
};

/// How often a running build says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How much of Go's output an error shows.
const SHOWN_LINES: usize = 20;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Go could not be started.
    #[error("failed to start `go build` for {module}")]
    Start {
        /// Which module.
        module: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Go gave up.
    #[error("`go build` for {module} ended with {status}:\n{output}")]
    Failed {
        /// Which module.
        module: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last lines it wrote.
        output: String,
    },
}

/// The directory that holds the module's programs, with at least these in it.
pub(super) fn find_or_build(
    module: &Module,
    tools: &[Tool],
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let pin = module.pin().map_err(Error::Module)?;
    let cache = cache::directory("bin").map_err(Error::Cache)?;
    let directory = cache.join(&pin.directory_name);
    let missing = || -> Vec<Tool> {
        let is_missing = |tool: &&Tool| !directory.join(tool.name()).is_file();
        tools.iter().filter(is_missing).copied().collect()
    };
    if missing().is_empty() {
        return Ok(directory);
    }
    let _lock = cache::lock(&cache, progress).map_err(Error::Cache)?;
    // Another process may have built them while this one waited.
    let missing = missing();
    if missing.is_empty() {
        return Ok(directory);
    }
    go::check(&module.directory()).map_err(Error::Go)?;
    let unfinished = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(&cache)
        .map_err(|source| write_error(&cache, source))?;
    build(module, &pin, &missing, unfinished.path(), progress).map_err(Error::Build)?;
    std::fs::create_dir_all(&directory).map_err(|source| write_error(&directory, source))?;
    for tool in missing {
        // A rename is atomic: a build that was cut short never looks like a finished one.
        let path = directory.join(tool.name());
        std::fs::rename(unfinished.path().join(tool.name()), &path)
            .map_err(|source| write_error(&path, source))?;
    }
    Ok(directory)
}

fn write_error(path: &Path, source: std::io::Error) -> Error {
    let path = path.to_owned();
    Error::Cache(CacheError::Write { path, source })
}

fn build(
    module: &Module,
    pin: &Pin,
    tools: &[Tool],
    into: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    let (name, version) = (module.name, &pin.version);
    let names: Vec<&str> = tools.iter().map(|tool| tool.name()).collect();
    progress(&format!(
        "building {} {version} with Go (once; minutes on a small machine)",
        names.join(", ")
    ));
    let start = Instant::now();
    let mut child = command(module, pin, tools, into)
        .spawn()
        .map_err(|source| BuildError::Start {
            module: name,
            source,
        })?;
    let stderr = child.stderr.take().expect("stderr is piped");
    let output = follow(name, BufReader::new(stderr), progress);
    let status = child.wait().map_err(|source| BuildError::Start {
        module: name,
        source,
    })?;
    if !status.success() {
        let output = Vec::from(output).join("\n");
        return Err(BuildError::Failed {
            module: name,
            status,
            output,
        });
    }
    progress(&format!(
        "built {name} {version} in {} s",
        start.elapsed().as_secs()
    ));
    Ok(())
}

fn command(module: &Module, pin: &Pin, tools: &[Tool], into: &Path) -> Command {
    let mut directory = into.as_os_str().to_owned();
    // With the slash, Go writes one file a package into the directory.
    directory.push("/");
    let mut command = Command::new("go");
    command
        .args(["build", "-v", "-o"])
        .arg(if let [tool] = tools {
            into.join(tool.name()).into_os_string()
        } else {
            directory
        })
        .arg("-ldflags")
        .arg(module.linker_flags(pin))
        .args(tools.iter().map(|tool| tool.package()))
        .current_dir(module.directory())
        // Programs that run on any machine of the kind, without a C compiler.
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Turn Go's line for each package into a line now and then, and keep the end for an error.
fn follow(name: &str, output: impl BufRead, progress: &mut dyn FnMut(&str)) -> VecDeque<String> {
    let mut last = VecDeque::new();
    let (mut fetched, mut compiled) = (0_u32, 0_u32);
    let mut told = Instant::now();
    for line in output.lines().map_while(Result::ok) {
        if line.starts_with("go: downloading ") {
            fetched += 1;
        } else {
            compiled += 1;
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            progress(&format!(
                "building {name}: {fetched} modules fetched, {compiled} packages compiled"
            ));
        }
        last.push_back(line);
        if last.len() > SHOWN_LINES {
            last.pop_front();
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_end_of_what_go_said() {
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        let text = lines.join("\n");
        let last = follow("x", text.as_bytes(), &mut |_| {});
        assert_eq!(last.len(), SHOWN_LINES);
        assert_eq!(last.back().map(String::as_str), Some("line 99"));
    }

    #[test]
    fn one_program_is_named_by_us_and_several_by_their_packages() {
        let arguments = |tools: &[Tool]| -> Vec<String> {
            let module = tools[0].module();
            command(
                &module,
                &module.pin().expect("pinned"),
                tools,
                Path::new("/out"),
            )
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect()
        };
        // etcd's package is called `server/v3`, which would name the program `server`.
        assert_eq!(arguments(&[Tool::Etcd])[3], "/out/etcd");
        assert_eq!(arguments(&[Tool::Kubelet, Tool::Kubectl])[3], "/out/");
    }
}
