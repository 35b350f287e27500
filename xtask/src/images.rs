//! `cargo xtask images`: the container images, built by buildah or docker.

mod base;
mod client;
pub(crate) mod local;
pub(crate) mod sbom;

use std::process::Command;

use anyhow::{Context, bail};

use crate::{command, release, repository};

/// Options of `cargo xtask images`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What builds them; buildah where it is installed, else docker.
    #[arg(long, value_enum)]
    engine: Option<Engine>,

    /// Pack the programs that cargo builds here onto a base of this machine's Debian packages: needs no registry. The
    /// images are written as archives, which `docker load` and `ctr images import` read.
    #[arg(long)]
    local: bool,

    /// Cargo's profile, with --local.
    #[arg(long, default_value = release::PROFILE)]
    profile: String,

    /// Build the gateway's image for NVIDIA GPUs, too (several gigabytes).
    #[arg(long)]
    cuda: bool,
}

/// Programs that build images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Buildah,
    Docker,
}

impl Engine {
    fn program(self) -> &'static str {
        match self {
            Self::Buildah => "buildah",
            Self::Docker => "docker",
        }
    }

    fn is_installed(self) -> bool {
        let version = Command::new(self.program()).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    }
}

/// Build them.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args {
        engine,
        local,
        profile,
        cuda,
    } = args;
    if *local {
        if *cuda || *engine == Some(Engine::Docker) {
            bail!(
                "--local builds the CPU images with buildah: leave out --cuda and --engine docker"
            );
        }
        let images = local::build(profile)?;
        for image in [images.operator, images.gateway] {
            println!("{} {}", image.name, image.archive.display());
        }
        return Ok(());
    }
    let engine = match engine {
        Some(engine) => *engine,
        None => [Engine::Buildah, Engine::Docker]
            .into_iter()
            .find(|engine| engine.is_installed())
            .context("neither buildah nor docker is installed: apt-get install buildah")?,
    };
    let version = env!("CARGO_PKG_VERSION");
    build(engine, "operator", &format!("claw-operator:{version}"), &[])?;
    build(engine, "gateway", &format!("clawdbot:{version}"), &[])?;
    if *cuda {
        let variant = ["--build-arg", "VARIANT=cuda"];
        build(
            engine,
            "gateway",
            &format!("clawdbot:{version}-cuda"),
            &variant,
        )?;
    }
    Ok(())
}

fn build(engine: Engine, what: &str, tag: &str, more: &[&str]) -> anyhow::Result<()> {
    let mut build = Command::new(engine.program());
    build.arg("build").args(labels()).args(more);
    build.args(["--tag", tag, "--file", &format!("Dockerfile.{what}"), "."]);
    // docker's older builder knows no cache mounts.
    build.env("DOCKER_BUILDKIT", "1");
    command::run(build.current_dir(repository::root()))
}

/// What the images say about themselves.
fn labels() -> [String; 4] {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"])
        .current_dir(repository::root());
    // A source archive has no history.
    let revision = command::output(&mut git).unwrap_or_else(|_| "unknown".to_owned());
    let flag = || "--build-arg".to_owned();
    [
        flag(),
        format!("VERSION={}", env!("CARGO_PKG_VERSION")),
        flag(),
        format!("REVISION={}", revision.trim()),
    ]
}
