//! `clawdbot model …`: models as files, with progress for people.

mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use claw_crds::claw_gateway::DEFAULT_HUB;
use claw_crds::gateway_config::{
    HuggingFaceConfig, ObjectsConfig, OciConfig, OutboundConfig, QuantizationConfig, Redacted,
    S3Config, SourceConfig, TaskConfig,
};
use claw_inference::Quantization;
use claw_inference::encoder::{self, EncoderDir, EncoderManifest};
use claw_inference::import::{IMPORTER_VERSION, source_digest};
use claw_inference::model_dir::{FileRecord, MANIFEST_FILE, Manifest, ModelDir};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{
    Environment, FetchArgs, ImportArgs, ModelCommand, PullArgs, SourceArgument, Weights,
};
use crate::config::chain;
use crate::exit::Failure;
use crate::models::cache::{Cache, CacheError, Progress, Rules};
use crate::models::fetch::{FetchError, fetch};
use crate::models::origin::{Origin, origin_of};
use crate::models::{LoadProgress, Loader as _, OnnxLoader};
use crate::outbound::Outbound;

/// Run one of the commands.
pub fn run(command: ModelCommand, environment: &Environment) -> Result<(), Failure> {
    match command {
        ModelCommand::Import(args) => import(&args),
        ModelCommand::Fetch(args) => download(&args),
        ModelCommand::Pull(args) => pull(&args, environment),
    }
}

fn import(args: &ImportArgs) -> Result<(), Failure> {
    let ImportArgs {
        source,
        target,
        quantization,
        update,
        report,
    } = args;
    if let Err(error) = std::fs::File::open(source) {
        return Err(Failure::Io(format!(
            "{}: cannot be read: {error}",
            source.display()
        )));
    }
    if *report && *quantization == Weights::None {
        return Err(Failure::Usage(
            "--report compares quantized weights with 32-bit ones: choose --quantization int8 or int4"
                .to_owned(),
        ));
    }
    if *report && encoder::is_encoder(source) {
        return Err(Failure::Usage(
            "--report is for models that chat: a text encoder keeps 32-bit floating point"
                .to_owned(),
        ));
    }
    if *update && target.exists() {
        if is_up_to_date(source, target, *quantization)? {
            say(&format!("{} is up to date", target.display()))?;
            return if *report {
                report::report(source, target)
            } else {
                Ok(())
            };
        }
        std::fs::remove_dir_all(target).map_err(|error| {
            Failure::Io(format!("{}: cannot be replaced: {error}", target.display()))
        })?;
    }
    import_into(source, target, *quantization)?;
    say(&format!(
        "imported {} into {}",
        source.display(),
        target.display()
    ))?;
    if *report {
        report::report(source, target)?;
    }
    Ok(())
}

fn import_into(source: &Path, target: &Path, quantization: Weights) -> Result<(), Failure> {
    let bar = progress_bar();
    let mut report = |LoadProgress { step, done, total }| {
        bar.set_message(step);
        bar.set_length(total);
        bar.set_position(done);
    };
    let weights = match quantization {
        Weights::None => QuantizationConfig::None,
        Weights::Int8 => QuantizationConfig::Int8,
        Weights::Int4 => QuantizationConfig::Int4,
    };
    // What embeds and what ranks is imported alike.
    let task = if encoder::is_encoder(source) {
        TaskConfig::Embed
    } else {
        TaskConfig::Chat
    };
    let imported = OnnxLoader::default().import(source, target, task, weights, &mut report);
    bar.finish_and_clear();
    imported.map_err(|error| Failure::Data(chain(&error)))
}

/// Whether this version imported the directory from this source. Only what an import wrote may be replaced.
fn is_up_to_date(source: &Path, target: &Path, quantization: Weights) -> Result<bool, Failure> {
    if encoder::is_encoder(source) {
        return is_encoder_up_to_date(source, target);
    }
    let manifest = target.join(MANIFEST_FILE);
    if !manifest.is_file()
        && std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some())
    {
        let target = target.display();
        return Err(Failure::Data(format!(
            "{target} holds no {MANIFEST_FILE}, so no import wrote it: choose another"
        )));
    }
    let Ok(model) = ModelDir::open(target) else {
        return Ok(false);
    };
    let Manifest {
        source: from,
        quantization: weights,
        ..
    } = model.manifest();
    let wanted = match quantization {
        Weights::None => Quantization::None,
        Weights::Int8 => Quantization::Int8,
        Weights::Int4 => Quantization::Int4,
    };
    if from.importer_version != IMPORTER_VERSION || *weights != wanted {
        return Ok(false);
    }
    let sha256 =
        source_digest(source, &mut |_, _| {}).map_err(|error| Failure::Io(chain(&error)))?;
    Ok(from.sha256 == sha256)
}

/// The same of a text encoder's directory.
fn is_encoder_up_to_date(source: &Path, target: &Path) -> Result<bool, Failure> {
    let path = target.join(encoder::MANIFEST_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(_) if std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none()) => {
            return Ok(false);
        }
        Err(_) => {
            let (target, file) = (target.display(), encoder::MANIFEST_FILE);
            return Err(Failure::Data(format!(
                "{target} holds no {file}, so no import wrote it: choose another"
            )));
        }
    };
    let Ok(EncoderManifest { source: from, .. }) = serde_json::from_slice(&text) else {
        return Ok(false);
    };
    if from.importer_version != IMPORTER_VERSION || EncoderDir::open(target).is_err() {
        return Ok(false);
    }
    let weights = source.join("model.safetensors");
    let weights = FileRecord::of(&weights)
        .map_err(|error| Failure::Io(format!("{}: cannot be read: {error}", weights.display())))?;
    Ok(from.sha256 == weights.sha256)
}

fn download(args: &FetchArgs) -> Result<(), Failure> {
    let FetchArgs {
        url,
        target,
        sha256,
    } = args;
    check_sha256(sha256)?;
    let source = SourceConfig::Http {
        url: url.clone(),
        sha256: sha256.clone(),
    };
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Beside the target and hidden, so that a second try goes on with it.
    let partial = folder.join(format!(".{name}.part"));
    let written = |path: &Path, error: std::io::Error| {
        Failure::Io(format!("{}: cannot be written: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| written(folder, error))?;
    let bar = progress_bar();
    let fetched = block_on(async |outbound| {
        let origin = origin(&source, outbound)?;
        let files = origin
            .list()
            .await
            .map_err(FetchError::from)
            .map_err(|error| of_fetch(&error))?;
        let file = files
            .first()
            .ok_or_else(|| Failure::Internal("no file".to_owned()))?;
        let mut progress = |done, total: Option<u64>| show(&bar, done, total);
        let fetched = fetch(&*origin, file, &partial, &mut progress).await;
        fetched.map_err(|error| of_fetch(&error))
    });
    bar.finish_and_clear();
    fetched?;
    std::fs::rename(&partial, target).map_err(|error| written(target, error))?;
    say(&format!("fetched {}", target.display()))
}

fn pull(args: &PullArgs, environment: &Environment) -> Result<(), Failure> {
    let source = source(args)?;
    let state_dir = args
        .state_dir
        .clone()
        .unwrap_or_else(|| environment.state_dir());
    let rules = Rules {
        budget: None,
        offline: args.offline,
    };
    let bar = progress_bar();
    let obtained = block_on(async |outbound| {
        let origin = origin(&source, outbound)?;
        let mut progress = |progress: Progress| show(&bar, progress.done, progress.total);
        let cache = Cache::new(&state_dir);
        let obtained = cache.obtain(&*origin, rules, &|_| false, &mut progress);
        obtained.await.map_err(of_cache)
    });
    bar.finish_and_clear();
    let obtained = obtained?;
    let folder = obtained
        .folder
        .map(|(folder, _)| folder)
        .unwrap_or_default();
    // What a gateway would load.
    let path = match obtained.contents.gguf() {
        Some(file) => folder.join(&file.name),
        None => folder,
    };
    say(&path.display().to_string())
}

/// What a gateway would call the same.
fn source(args: &PullArgs) -> Result<SourceConfig, Failure> {
    let PullArgs {
        source,
        files,
        sha256,
        hub,
        storage,
        region,
        plain_http,
        offline: _,
        state_dir: _,
    } = args;
    if let Some(sha256) = sha256 {
        check_sha256(sha256)?;
    }
    let pair = |user: &str, password: &str| secret(user).zip(secret(password));
    Ok(match source {
        SourceArgument::Http(url) => SourceConfig::Http {
            url: url.clone(),
            sha256: sha256.clone().ok_or_else(|| {
                Failure::Usage("--sha256: needed for the URL of a file".to_owned())
            })?,
        },
        SourceArgument::HuggingFace { repo, revision } => {
            if files.is_empty() {
                let told =
                    "--file: needed for a repository; give names, or patterns such as *.gguf";
                return Err(Failure::Usage(told.to_owned()));
            }
            let endpoint = hub.as_deref().unwrap_or(DEFAULT_HUB);
            SourceConfig::HuggingFace(HuggingFaceConfig {
                endpoint: endpoint.trim_end_matches('/').to_owned(),
                repo: repo.clone(),
                revision: revision.clone(),
                files: files.clone(),
                token: secret("HF_TOKEN"),
            })
        }
        SourceArgument::S3 { bucket, key } => SourceConfig::S3(S3Config {
            bucket: bucket.clone(),
            objects: match key.strip_suffix('/') {
                Some(folder) => ObjectsConfig::Prefix(folder.to_owned()),
                None => ObjectsConfig::Key {
                    key: key.clone(),
                    sha256: sha256.clone(),
                },
            },
            region: region.clone(),
            path_style: storage.is_some(),
            endpoint: storage
                .clone()
                .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com")),
            credentials: pair("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        }),
        SourceArgument::Oci {
            host,
            repository,
            reference,
        } => {
            let scheme = if *plain_http { "http" } else { "https" };
            // What everybody calls it is not where it is.
            let host = if host == "docker.io" {
                "registry-1.docker.io"
            } else {
                host
            };
            SourceConfig::Oci(OciConfig {
                registry: format!("{scheme}://{host}"),
                repository: repository.clone(),
                reference: reference.clone(),
                credentials: pair("CLAWDBOT_REGISTRY_USER", "CLAWDBOT_REGISTRY_PASSWORD"),
            })
        }
    })
}

fn secret(name: &str) -> Option<Redacted> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(Redacted::new(value))
}

fn check_sha256(sha256: &str) -> Result<(), Failure> {
    if sha256.len() == 64 && sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--sha256 {sha256:?}: not 64 hexadecimal digits"
    )))
}

/// Work that waits for the network.
fn block_on<T>(work: impl AsyncFnOnce(&Outbound) -> Result<T, Failure>) -> Result<T, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Internal(format!("failed to start: {error}")))?;
    // Whoever types an address may call it; metadata services hold no models.
    let outbound = Outbound::new(OutboundConfig::unrestricted()).map_err(|error| {
        Failure::Internal(format!(
            "failed to prepare outgoing HTTP: {}",
            chain(&error)
        ))
    })?;
    runtime.block_on(work(&outbound))
}

fn origin(source: &SourceConfig, outbound: &Outbound) -> Result<Arc<dyn Origin>, Failure> {
    let origin = origin_of(source, outbound).map_err(|error| Failure::Usage(chain(&error)))?;
    origin.ok_or_else(|| Failure::Internal("a path is not fetched".to_owned()))
}

fn of_fetch(error: &FetchError) -> Failure {
    match error {
        FetchError::Checksum { .. } => Failure::Data(chain(error)),
        FetchError::Origin(_)
        | FetchError::Status { .. }
        | FetchError::Interrupted { .. }
        | FetchError::NoSpace { .. }
        | FetchError::Write { .. } => Failure::Io(chain(error)),
    }
}

fn of_cache(error: CacheError) -> Failure {
    match error {
        CacheError::Fetch(error) => of_fetch(&error),
        CacheError::Offline { .. } | CacheError::Budget { .. } | CacheError::Disk { .. } => {
            Failure::Io(chain(&error))
        }
    }
}

fn show(bar: &ProgressBar, done: u64, total: Option<u64>) {
    bar.set_message("downloading");
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
}

/// Draws to standard error, and nothing at all where that is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(
        "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    );
    bar.set_style(style.expect("the template is a constant"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Standard output is what a command says.
fn say(line: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::Io(format!("standard output cannot be written: {error}")))
}
