//! `clawdbot model …`: models as files, with progress for people.

mod report;

use std::path::Path;
use std::time::Duration;

use claw_crds::gateway_config::{OutboundConfig, QuantizationConfig};
use claw_inference::Quantization;
use claw_inference::import::{IMPORTER_VERSION, source_digest};
use claw_inference::model_dir::{MANIFEST_FILE, Manifest, ModelDir};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{FetchArgs, ImportArgs, ModelCommand, Weights};
use crate::config::chain;
use crate::exit::Failure;
use crate::models::fetch::{Download, FetchError, fetch};
use crate::models::{LoadProgress, Loader as _, OnnxLoader};
use crate::outbound::Outbound;

/// Run one of the commands.
pub fn run(command: ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::Import(args) => import(&args),
        ModelCommand::Fetch(args) => download(&args),
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
    let imported = OnnxLoader::default().import(source, target, weights, &mut report);
    bar.finish_and_clear();
    imported.map_err(|error| Failure::Data(chain(&error)))
}

/// Whether this version imported the directory from this source. Only what an import wrote may be replaced.
fn is_up_to_date(source: &Path, target: &Path, quantization: Weights) -> Result<bool, Failure> {
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

fn download(args: &FetchArgs) -> Result<(), Failure> {
    let FetchArgs {
        url,
        target,
        sha256,
    } = args;
    if sha256.len() != 64 || !sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Failure::Usage(format!(
            "--sha256 {sha256:?}: not 64 hexadecimal digits"
        )));
    }
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
    let bar = progress_bar();
    let progress = |done, total: Option<u64>| {
        bar.set_message("downloading");
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    };
    let fetched = runtime.block_on(fetch(
        &outbound,
        Download {
            url,
            sha256,
            target: Path::new(target),
        },
        progress,
    ));
    bar.finish_and_clear();
    fetched.map_err(|error| match error {
        FetchError::Checksum { .. } => Failure::Data(chain(&error)),
        FetchError::NotAllowed { .. }
        | FetchError::Unreachable { .. }
        | FetchError::Status { .. }
        | FetchError::Interrupted { .. }
        | FetchError::NoSpace { .. }
        | FetchError::Write { .. } => Failure::Io(chain(&error)),
    })?;
    say(&format!("fetched {}", target.display()))
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
