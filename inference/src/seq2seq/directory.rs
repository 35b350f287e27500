//! A directory with a sequence-to-sequence model in Optimum's layout, and what it says of answers.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::session::{DECODER_FILE, ENCODER_FILE, MERGED_FILE};

/// Tokens of an answer of a model that does not say.
const DEFAULT_LENGTH: usize = 142;

/// Why a directory is no usable model.
#[derive(Debug, Error)]
pub enum Seq2SeqDirError {
    /// A file is missing or cannot be read.
    #[error("failed to read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is no JSON object, or has a field of another type.
    #[error("failed to understand {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A field without which no answer can begin or end.
    #[error("{}: {field} is missing, so no answer can begin or end", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
}

/// What a directory says of its model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seq2SeqDescription {
    pub(crate) name: String,
    pub(crate) vocabulary_size: usize,
    /// The most tokens of a text.
    pub(crate) max_tokens: usize,
    /// What every text begins with.
    pub(crate) prefix: String,
    pub(crate) rules: Rules,
}

/// What an answer must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What an answer begins with, unseen.
    pub(crate) start: u32,
    pub(crate) end: Vec<u32>,
    /// What its first token must be.
    pub(crate) forced_first: Option<u32>,
    /// What its last one must be where it is the longest.
    pub(crate) forced_last: Option<u32>,
    /// Tokens in all, with the unseen one: at least.
    pub(crate) shortest: usize,
    /// At most.
    pub(crate) longest: usize,
    /// So many tokens never follow each other twice.
    pub(crate) no_repeat: usize,
}

/// Whether a directory holds such a model.
pub fn is_seq2seq(directory: &Path) -> bool {
    directory.join(ENCODER_FILE).is_file()
        && [DECODER_FILE, MERGED_FILE]
            .iter()
            .any(|file| directory.join(file).is_file())
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "_name_or_path", default)]
    name: String,
    vocab_size: usize,
    #[serde(default)]
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    n_positions: Option<usize>,
    #[serde(default)]
    task_specific_params: Map<String, Value>,
    #[serde(flatten)]
    generation: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Generation {
    #[serde(default)]
    decoder_start_token_id: Option<u32>,
    #[serde(default)]
    eos_token_id: Option<OneOrMore>,
    #[serde(default)]
    forced_bos_token_id: Option<u32>,
    #[serde(default)]
    forced_eos_token_id: Option<u32>,
    #[serde(default)]
    min_length: Option<usize>,
    #[serde(default)]
    max_length: Option<usize>,
    #[serde(default)]
    no_repeat_ngram_size: Option<usize>,
    #[serde(default)]
    prefix: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

/// Reads what a directory says. What it says of summaries goes before what it says of answers in general.
pub(crate) fn read(directory: &Path) -> Result<Seq2SeqDescription, Seq2SeqDirError> {
    let path = directory.join("config.json");
    let config: Config = parse(&path, &read_file(&path)?)?;
    let mut said = config.generation;
    let beside = directory.join("generation_config.json");
    if beside.exists() {
        let beside: Map<String, Value> = parse(&beside, &read_file(&beside)?)?;
        said.extend(beside.into_iter().filter(|(_, value)| !value.is_null()));
    }
    if let Some(Value::Object(of_summaries)) = config.task_specific_params.get("summarization") {
        said.extend(of_summaries.clone());
    }
    let generation: Generation = serde_json::from_value(Value::Object(said)).map_err(|source| {
        Seq2SeqDirError::Malformed {
            path: path.clone(),
            source,
        }
    })?;
    let missing = |field| Seq2SeqDirError::Missing {
        path: directory.to_owned(),
        field,
    };
    let end = match generation.eos_token_id {
        Some(OneOrMore::One(token)) => vec![token],
        Some(OneOrMore::More(tokens)) => tokens,
        None => return Err(missing("eos_token_id")),
    };
    let name = Path::new(&config.name)
        .file_name()
        .or_else(|| directory.file_name());
    let positions = config.max_position_embeddings.or(config.n_positions);
    Ok(Seq2SeqDescription {
        name: name.map_or_else(
            || "model".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        ),
        vocabulary_size: config.vocab_size,
        max_tokens: positions.unwrap_or(512),
        prefix: generation.prefix.unwrap_or_default(),
        rules: Rules {
            start: generation
                .decoder_start_token_id
                .ok_or_else(|| missing("decoder_start_token_id"))?,
            end,
            forced_first: generation.forced_bos_token_id,
            forced_last: generation.forced_eos_token_id,
            shortest: generation.min_length.unwrap_or(0),
            longest: generation.max_length.unwrap_or(DEFAULT_LENGTH),
            no_repeat: generation.no_repeat_ngram_size.unwrap_or(0),
        },
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Seq2SeqDirError> {
    fs::read(path).map_err(|source| Seq2SeqDirError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, Seq2SeqDirError> {
    serde_json::from_slice(text).map_err(|source| Seq2SeqDirError::Malformed {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(files: &[(&str, Value)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            fs::write(directory.path().join(name), content.to_string()).expect("written");
        }
        directory
    }

    #[test]
    fn what_is_said_of_summaries_goes_first() {
        let directory = written(&[
            (
                "config.json",
                json!({
                    "_name_or_path": "somebody/tiny", "vocab_size": 50, "n_positions": 64, "eos_token_id": 1,
                    "decoder_start_token_id": 0, "max_length": 20,
                    "task_specific_params": {"summarization": {"prefix": "summarize: ", "max_length": 30}},
                }),
            ),
            (
                "generation_config.json",
                json!({"eos_token_id": [1, 2], "max_length": 25, "min_length": 3, "forced_bos_token_id": null}),
            ),
        ]);
        let read = read(directory.path()).expect("valid");
        assert_eq!(
            (read.name.as_str(), read.max_tokens, read.prefix.as_str()),
            ("tiny", 64, "summarize: ")
        );
        assert_eq!(
            read.rules,
            Rules {
                start: 0,
                end: vec![1, 2],
                forced_first: None,
                forced_last: None,
                shortest: 3,
                longest: 30,
                no_repeat: 0,
            }
        );
    }

    #[test]
    fn what_an_answer_needs_is_named_where_it_is_missing() {
        let directory = written(&[("config.json", json!({"vocab_size": 50, "eos_token_id": 1}))]);
        let message = read(directory.path()).expect_err("no start").to_string();
        assert!(message.contains("decoder_start_token_id"), "{message}");
    }
}
