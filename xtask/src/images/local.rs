//! Images from what cargo built here, in the layout that is shipped: the last stages of the Dockerfiles, on a base made
//! of this machine's Debian packages. No registry is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

use anyhow::Context;
use claw_e2e::{
    node::{Image, Storage},
    tools::cache,
};
use sha2::{Digest, Sha256};

use super::{base, client, labels, sbom};
use crate::{command, demo, fetch, release, repository};

/// What a node loads.
pub(crate) struct Images {
    /// `claw-operator`.
    pub(crate) operator: Image,
    /// `clawdbot` as it is shipped.
    pub(crate) gateway: Image,
}

/// The same, for tests.
pub(crate) struct TestImages {
    /// As shipped, with the model of `examples/` below /models.
    pub(crate) gateway_with_model: Image,
    /// Python and the OpenAI client.
    pub(crate) client: Image,
}

const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Build with cargo, then pack.
pub(crate) fn build(profile: &str) -> anyhow::Result<Images> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--locked", "--bins", "--profile", profile]);
    cargo.args(["--package", "claw-operator"]);
    let is_released = profile == release::PROFILE;
    if !is_released {
        cargo.args(["--package", "clawdbot"]);
    }
    command::run(&mut cargo)?;
    // Cargo's directory for `dev` has another name.
    let binaries = command::binaries(if profile == "dev" { "debug" } else { profile })?;
    let operator = operator(&binaries)?;
    let gateway = if is_released {
        gateway(&release::gateway()?)?
    } else {
        gateway(&binaries)?
    };
    Ok(Images { operator, gateway })
}

/// Pack what tests need beyond that.
pub(crate) fn build_for_tests(gateway: &Image) -> anyhow::Result<TestImages> {
    let model = demo::imported_models()?.join("smollm2");
    let with_model = Recipe {
        name: "localhost/clawdbot-with-model:test",
        inputs: vec![gateway.archive.clone(), model.clone()],
    };
    let gateway_with_model = with_model.build(|storage, tag| {
        let from = format!("docker-archive:{}", gateway.archive.display());
        let context = model.parent().context("the model lies in a folder")?;
        let text = format!("FROM {from}\nCOPY --chown=65532 smollm2 /models/smollm2\n");
        inline(storage, &text, context, tag)
    })?;
    let [base, packages] = client::files()?;
    let script = repository::root().join("gateway/tests/openai_client.py");
    let python = Recipe {
        name: "localhost/openai-client:test",
        inputs: vec![base.clone(), packages.clone(), script.clone()],
    };
    let client = python.build(|storage, tag| {
        let context = packages.parent().context("the client lies in a folder")?;
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let work = storage.directory().join("script");
        fs::create_dir_all(&work)?;
        fs::copy(&script, work.join("openai_client.py"))?;
        let text = format!(
            "FROM scratch\nCOPY {} /\nCOPY {} /\nCOPY --from=script . /client/\nENV PYTHONPATH=/client\n\
             USER 65532:65532\nENTRYPOINT [\"/usr/bin/python3\"]\n",
            name(&base),
            name(&packages)
        );
        let script = format!("script={}", work.display());
        let mut build = storage.buildah();
        build.args(["build", "--quiet", "--build-context", &script]);
        run_inline(storage, build, &text, context, tag)
    })?;
    Ok(TestImages {
        gateway_with_model,
        client,
    })
}

fn operator(binaries: &Path) -> anyhow::Result<Image> {
    let program = binaries.join("claw-operator");
    let recipe = Recipe {
        name: concat!("localhost/claw-operator:", env!("CARGO_PKG_VERSION")),
        inputs: vec![
            program.clone(),
            repository::root().join("Dockerfile.operator"),
        ],
    };
    recipe.build(|storage, tag| {
        let stage = program_stage(storage, &program, "claw-operator")?;
        dockerfile(storage, "operator", &[("build", &stage)], tag)
    })
}

fn gateway(binaries: &Path) -> anyhow::Result<Image> {
    let program = binaries.join("clawdbot");
    let runtime = &fetch::all()?.runtime;
    let recipe = Recipe {
        name: concat!("localhost/clawdbot:", env!("CARGO_PKG_VERSION")),
        inputs: vec![
            program.clone(),
            runtime.clone(),
            repository::root().join("Dockerfile.gateway"),
        ],
    };
    recipe.build(|storage, tag| {
        let stage = program_stage(storage, &program, "clawdbot")?;
        fs::create_dir_all(stage.join("out/models"))?;
        let libraries = storage.directory().join("runtime");
        let target = libraries.join("out/opt/onnxruntime/libonnxruntime.so");
        place(runtime, &target)?;
        dockerfile(
            storage,
            "gateway",
            &[("build", &stage), ("runtime", &libraries)],
            tag,
        )
    })
}

/// What the Dockerfile's `build` stage would leave.
fn program_stage(storage: &Storage, program: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let stage = storage.directory().join("build");
    let out = stage.join("out");
    let target = out.join("usr/local/bin").join(package);
    place(program, &target)?;
    // Symbols of a debug build are most of it; panics still name their place.
    command::output(Command::new("strip").arg("--strip-debug").arg(&target))?;
    if Path::new(AUTHORITIES).is_file() {
        place(Path::new(AUTHORITIES), &out.join(&AUTHORITIES[1..]))?;
    }
    place(
        &repository::root().join("LICENSE"),
        &out.join("licenses/claw/LICENSE"),
    )?;
    let list = out.join(format!("sbom/{package}.cdx.json"));
    fs::create_dir_all(out.join("sbom"))?;
    fs::write(list, sbom::of(package)?)?;
    Ok(stage)
}

fn place(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("failed to copy {}", from.display()))?;
    Ok(())
}

/// Build a Dockerfile of the repository with directories in place of its stages.
fn dockerfile(
    storage: &Storage,
    what: &str,
    stages: &[(&str, &Path)],
    tag: &str,
) -> anyhow::Result<()> {
    const BASE: &str = "localhost/claw-base:local";
    let base = base::files("runtime", &base::RUNTIME)?;
    inline(storage, "FROM scratch\nCOPY . /\n", &base, BASE)?;
    let mut build = storage.buildah();
    build.args(["build", "--quiet"]).args(labels());
    build.args(["--build-arg", &format!("BASE_IMAGE={BASE}")]);
    for (stage, directory) in stages {
        build.args([
            "--build-context",
            &format!("{stage}={}", directory.display()),
        ]);
    }
    let file = repository::root().join(format!("Dockerfile.{what}"));
    build
        .args(["--tag", tag, "--file"])
        .arg(file)
        .arg(storage.directory().join("build"));
    command::output(&mut build).map(drop)
}

fn inline(storage: &Storage, text: &str, context: &Path, tag: &str) -> anyhow::Result<()> {
    let mut build = storage.buildah();
    build.args(["build", "--quiet"]);
    run_inline(storage, build, text, context, tag)
}

fn run_inline(
    storage: &Storage,
    mut build: Command,
    text: &str,
    context: &Path,
    tag: &str,
) -> anyhow::Result<()> {
    let file = storage.directory().join("Dockerfile");
    fs::write(&file, text)?;
    build.args(["--tag", tag, "--file"]).arg(&file).arg(context);
    command::output(&mut build).map(drop)
}

/// An image, and what it depends on: built again only when one of those has changed.
struct Recipe {
    name: &'static str,
    inputs: Vec<PathBuf>,
}

impl Recipe {
    fn build(
        &self,
        make: impl FnOnce(&Storage, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Image> {
        let short = self
            .name
            .rsplit('/')
            .next()
            .unwrap_or(self.name)
            .replace(':', "-");
        let cache = cache::directory("images")?;
        let image = Image {
            name: self.name.to_owned(),
            archive: cache.join(format!("{short}-{}.tar", self.identity()?)),
        };
        if image.archive.is_file() {
            println!("  {}: already here", self.name);
            return Ok(image);
        }
        println!("  {}: packing", self.name);
        for old in fs::read_dir(&cache)? {
            let old = old?;
            if old.file_name().to_string_lossy().starts_with(&short) {
                fs::remove_file(old.path())?;
            }
        }
        let storage = Storage::create()?;
        make(&storage, self.name)?;
        // A rename is atomic: an archive that was cut short never looks like a finished one.
        let unfinished = Image {
            name: image.name.clone(),
            archive: storage.directory().join("archive.tar"),
        };
        storage.save(&unfinished)?;
        fs::rename(&unfinished.archive, &image.archive)?;
        Ok(image)
    }

    /// Sizes and times tell a change, as they do for cargo.
    fn identity(&self) -> anyhow::Result<String> {
        let mut digest = Sha256::new();
        for input in &self.inputs {
            let metadata =
                fs::metadata(input).with_context(|| format!("{} is missing", input.display()))?;
            let changed = metadata.modified()?.duration_since(UNIX_EPOCH)?;
            digest.update(format!(
                "{} {} {changed:?}\n",
                input.display(),
                metadata.len()
            ));
        }
        Ok(hex::encode(&digest.finalize()[..6]))
    }
}
