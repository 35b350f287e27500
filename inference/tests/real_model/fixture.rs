//! The imported models, and the expected values.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use claw_inference::{
    DecoderSession, Message, ModelDir, Quantization, SessionOptions,
    import::{IMPORTER_VERSION, ImportError, import_model},
    runtime,
};
use serde::Deserialize;

use crate::device::device;

const MODEL_FILE: &str = "smollm2.gguf";

/// The content of `smollm2.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Reference {
    pub(crate) source_sha256: String,
    pub(crate) cases: Vec<Case>,
}

/// One prompt and what follows it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) messages: Vec<Turn>,
    pub(crate) prompt: String,
    pub(crate) tokens: Vec<u32>,
    pub(crate) logits: Logits,
    pub(crate) answer: Vec<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Turn {
    pub(crate) role: String,
    pub(crate) content: String,
}

/// The logits of an answer's first token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logits {
    pub(crate) logsumexp: f32,
    pub(crate) top: Vec<(u32, f32)>,
}

impl Case {
    pub(crate) fn messages(&self) -> Vec<Message> {
        let message = |turn: &Turn| Message::new(&turn.role, &turn.content);
        self.messages.iter().map(message).collect()
    }
}

pub(crate) fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/smollm2.json")).expect("a valid file")
}

/// Questions, and the first tokens of their greedy answers.
pub(crate) fn short_reference() -> Vec<(String, Vec<u32>)> {
    serde_json::from_str(include_str!("../reference/smollm2_short.json")).expect("a valid file")
}

/// The imported model, or none where the environment has no model and does not demand one.
pub(crate) fn model(quantization: Quantization) -> Option<ModelDir> {
    static IMPORTING: Mutex<()> = Mutex::new(());
    let source = source()?;
    let _one_at_a_time = IMPORTING.lock().expect("no import panicked");
    let target = cache_directory().join(format!(
        "{}-{quantization}-v{IMPORTER_VERSION}",
        &reference().source_sha256[..16]
    ));
    if let Ok(model) = ModelDir::open(&target) {
        return Some(model);
    }
    match import_model(&source, &target, quantization, &mut |_| {}) {
        Ok(model) => Some(model),
        Err(ImportError::TargetExists { .. }) => {
            Some(ModelDir::open(&target).expect("imported by another process"))
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A decoder of the imported model.
pub(crate) fn decoder(model: &ModelDir) -> DecoderSession {
    let context_length = model.manifest().architecture.context_length;
    let options = SessionOptions {
        device: device(),
        threads: None,
        context_length,
    };
    DecoderSession::load(model, options).expect("the model loads")
}

fn source() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Option<PathBuf> {
    let found = env::var_os("CLAW_TEST_MODELS")
        .ok_or_else(|| "CLAW_TEST_MODELS is not set".to_owned())
        .map(|directory| Path::new(&directory).join(MODEL_FILE))
        .and_then(|path| {
            if path.exists() {
                Ok(path)
            } else {
                Err(format!("{} does not exist", path.display()))
            }
        })
        .and_then(|path| {
            runtime::init(None)
                .map(|()| path)
                .map_err(|error| error.to_string())
        });
    match found {
        Ok(path) => Some(path),
        Err(reason) if env::var("CLAW_TEST_REQUIRE_MODEL").is_ok_and(|value| value == "1") => {
            panic!("the real model is required, and {reason}")
        }
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

fn cache_directory() -> PathBuf {
    let user_cache = || {
        let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| Some(env::home_dir()?.join(".cache")));
        base.unwrap_or_else(env::temp_dir)
            .join("claw")
            .join("test-models")
    };
    let directory = env::var_os("CLAW_TEST_CACHE").map_or_else(user_cache, PathBuf::from);
    fs::create_dir_all(&directory).expect("a writable cache");
    directory
}
