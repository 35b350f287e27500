//! What has to be done to a published model before it loads, by the names of its files and by what it is asked.

use std::path::Path;

use claw_crds::gateway_config::TaskConfig;
use claw_inference::import::{encoder_source_files, is_encoder_source};
use claw_inference::model_dir::{FileRecord, MANIFEST_FILE};
use sha2::{Digest as _, Sha256};

use crate::models::cache::Contents;

/// What describes a published model.
const PUBLISHED_CONFIG: &str = "config.json";

/// What of a model, as it is published, has to be imported before it can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It loads as it is.
    Loadable,
    /// A decoder.
    Decoder,
    /// A text encoder.
    Encoder,
}

impl Form {
    /// Of a directory's files, by their names and by what is asked of the model.
    pub(super) fn of(task: TaskConfig, has: impl Fn(&str) -> bool) -> Self {
        match task {
            TaskConfig::Embed | TaskConfig::Rerank => {
                if is_encoder_source(has) {
                    Self::Encoder
                } else {
                    Self::Loadable
                }
            }
            TaskConfig::Summarize if has("encoder_model.onnx") => Self::Loadable,
            TaskConfig::Chat | TaskConfig::Summarize => {
                if has(PUBLISHED_CONFIG) && !has(MANIFEST_FILE) {
                    Self::Decoder
                } else {
                    Self::Loadable
                }
            }
        }
    }
}

/// What of some files has to be imported, one of them or all, and its digest.
pub(super) fn importable(contents: &Contents, task: TaskConfig) -> Option<(Option<&str>, &str)> {
    if let Some(gguf) = contents.gguf() {
        return Some((Some(&gguf.name), &gguf.sha256));
    }
    let has = |name: &str| contents.files.iter().any(|file| file.name == name);
    (Form::of(task, has) != Form::Loadable).then_some((None, contents.sha256.as_str()))
}

/// The SHA-256 that names a text encoder's directory: of those of its files, in their order.
pub(super) fn encoder_digest(directory: &Path) -> std::io::Result<String> {
    let files = encoder_source_files(directory).unwrap_or_default();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(FileRecord::of(&file)?.sha256);
    }
    Ok(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::weights(TaskConfig::Chat, &["config.json", "model.safetensors"], Form::Decoder)]
    #[case::a_graph(TaskConfig::Chat, &["config.json", "onnx/model.onnx"], Form::Decoder)]
    #[case::imported(TaskConfig::Chat, &["config.json", "model.json", "model.onnx"], Form::Loadable)]
    #[case::a_decoder_that_summarizes(TaskConfig::Summarize, &["config.json", "model.safetensors"], Form::Decoder)]
    #[case::two_graphs(TaskConfig::Summarize, &["config.json", "encoder_model.onnx"], Form::Loadable)]
    #[case::an_encoder(TaskConfig::Embed, &["config.json", "model.safetensors"], Form::Encoder)]
    #[case::a_ranking_encoder(TaskConfig::Rerank, &["config.json", "model.safetensors"], Form::Encoder)]
    #[case::with_its_graph(TaskConfig::Embed, &["config.json", "model.safetensors", "onnx/model.onnx"], Form::Loadable)]
    #[case::imported_for_vectors(TaskConfig::Embed, &["encoder.json", "model.onnx"], Form::Loadable)]
    fn files_and_tasks_decide(
        #[case] task: TaskConfig,
        #[case] files: &[&str],
        #[case] form: Form,
    ) {
        assert_eq!(Form::of(task, |name| files.contains(&name)), form);
    }
}
