//! The small files beside a model's weights in directories of the transformers library.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use super::decoder::ModelConfig;
use crate::model_dir::{TOKENIZER_FILE, Tokens};

pub(crate) const CONFIG_FILE: &str = "config.json";
const GENERATION_FILE: &str = "generation_config.json";
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
const TEMPLATE_FILE: &str = "chat_template.jinja";
/// Everything that an import reads beside the weights.
pub(crate) const NAMES: [&str; 5] = [
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    TEMPLATE_FILE,
];
/// The one of several templates that is for plain conversations.
const DEFAULT_TEMPLATE: &str = "default";

/// Why a model's small files cannot be used.
#[derive(Debug, Error)]
pub enum ModelFilesError {
    /// A file that must be there cannot be read.
    #[error("failed to read {}: {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Where it comes from.
        remedy: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not valid; download it again", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer belongs to another model.
    #[error(
        "{} has {tokenizer} tokens, and config.json says vocab_size = {model}: it is the tokenizer of another model; take the one that was published with the weights",
        path.display()
    )]
    WrongTokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// Its tokens.
        tokenizer: usize,
        /// The model's tokens.
        model: usize,
    },
    /// A special token is not one of the tokenizer's.
    #[error(
        "{file} says {field} = {token}, which is no token of {TOKENIZER_FILE}: the files are of different models; take those that were published together"
    )]
    UnknownToken {
        /// The file that names it.
        file: &'static str,
        /// The field that names it.
        field: &'static str,
        /// The token.
        token: String,
    },
    /// Nothing says how an answer ends.
    #[error(
        "no token ends an answer: set eos_token_id in {GENERATION_FILE} or {CONFIG_FILE} of {}",
        path.display()
    )]
    NoEnd {
        /// The directory.
        path: PathBuf,
    },
}

/// What the files say.
#[derive(Debug)]
pub(crate) struct ModelFiles {
    /// The directory's own name.
    pub(crate) name: String,
    pub(crate) config: ModelConfig,
    /// The text of `tokenizer.json`.
    pub(crate) tokenizer: Vec<u8>,
    /// The numbers of its tokens are below this.
    pub(crate) vocabulary_size: usize,
    pub(crate) tokens: Tokens,
    pub(crate) chat_template: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct GenerationConfig {
    #[serde(default)]
    bos_token_id: Option<Value>,
    #[serde(default)]
    eos_token_id: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    bos_token: Option<Value>,
    #[serde(default)]
    eos_token: Option<Value>,
    #[serde(default)]
    chat_template: Option<Value>,
}

impl ModelFiles {
    /// Reads the files of `directory`, and checks that they belong together.
    pub(crate) fn read(directory: &Path) -> Result<Self, ModelFilesError> {
        let config_path = directory.join(CONFIG_FILE);
        let config_text = need(
            &config_path,
            "it describes the model and is published with it",
        )?;
        let config: ModelConfig = parse(&config_path, &config_text)?;
        let tokenizer_path = directory.join(TOKENIZER_FILE);
        let tokenizer = need(
            &tokenizer_path,
            "save the model's tokenizer in the format of the tokenizers library, with AutoTokenizer and save_pretrained",
        )?;
        let parsed = tokenizers::Tokenizer::from_bytes(&tokenizer).map_err(|source| {
            ModelFilesError::Invalid {
                path: tokenizer_path,
                source,
            }
        })?;
        let highest = parsed.get_vocab(true).values().max().copied();
        let generation: GenerationConfig = optional(directory, GENERATION_FILE)?;
        let tokenizer_config: TokenizerConfig = optional(directory, TOKENIZER_CONFIG_FILE)?;
        let tokens = special_tokens(directory, &parsed, &config, &generation, &tokenizer_config)?;
        Ok(Self {
            name: name_of(directory),
            config,
            tokenizer,
            vocabulary_size: highest.map_or(0, |id| id as usize + 1),
            tokens,
            chat_template: chat_template(directory, tokenizer_config)?,
        })
    }

    /// Fails where the tokenizer knows tokens that the model does not.
    pub(crate) fn check_vocabulary(
        &self,
        directory: &Path,
        model: usize,
    ) -> Result<(), ModelFilesError> {
        // Models have rows to spare, so that the number of them is a round one.
        if self.vocabulary_size <= model {
            return Ok(());
        }
        Err(ModelFilesError::WrongTokenizer {
            path: directory.join(TOKENIZER_FILE),
            tokenizer: self.vocabulary_size,
            model,
        })
    }
}

fn special_tokens(
    directory: &Path,
    tokenizer: &tokenizers::Tokenizer,
    config: &ModelConfig,
    generation: &GenerationConfig,
    tokenizer_config: &TokenizerConfig,
) -> Result<Tokens, ModelFilesError> {
    let by_text = |field, token: &Option<Value>| match token.as_ref().and_then(text_of) {
        None => Ok(None),
        Some(text) => match tokenizer.token_to_id(&text) {
            Some(id) => Ok(Some(id)),
            None => Err(ModelFilesError::UnknownToken {
                file: TOKENIZER_CONFIG_FILE,
                field,
                token: format!("{text:?}"),
            }),
        },
    };
    let by_number = |file, field, ids: &Option<Value>| {
        let ids = ids.as_ref().map(ids_of).unwrap_or_default();
        let exists =
            |id: &u64| u32::try_from(*id).is_ok_and(|id| tokenizer.id_to_token(id).is_some());
        match ids.iter().find(|id| !exists(id)) {
            Some(unknown) => Err(ModelFilesError::UnknownToken {
                file,
                field,
                token: unknown.to_string(),
            }),
            None => Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok())),
        }
    };
    // What the template writes comes first; the others end answers, too.
    let mut eos: Vec<u32> = by_text("eos_token", &tokenizer_config.eos_token)?
        .into_iter()
        .collect();
    let numbered = by_number(GENERATION_FILE, "eos_token_id", &generation.eos_token_id)?.chain(
        by_number(CONFIG_FILE, "eos_token_id", &config.eos_token_id)?,
    );
    for id in numbered {
        if !eos.contains(&id) {
            eos.push(id);
        }
    }
    if eos.is_empty() {
        return Err(ModelFilesError::NoEnd {
            path: directory.to_owned(),
        });
    }
    let bos = match by_text("bos_token", &tokenizer_config.bos_token)? {
        Some(id) => Some(id),
        None => by_number(GENERATION_FILE, "bos_token_id", &generation.bos_token_id)?
            .chain(by_number(
                CONFIG_FILE,
                "bos_token_id",
                &config.bos_token_id,
            )?)
            .next(),
    };
    Ok(Tokens { bos, eos })
}

/// A token is a text, or an object that has it as its content.
fn text_of(token: &Value) -> Option<String> {
    let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
    Some(text.to_owned())
}

/// One number, or several.
fn ids_of(value: &Value) -> Vec<u64> {
    match value {
        Value::Array(values) => values.iter().filter_map(Value::as_u64).collect(),
        other => other.as_u64().into_iter().collect(),
    }
}

fn chat_template(
    directory: &Path,
    tokenizer_config: TokenizerConfig,
) -> Result<Option<String>, ModelFilesError> {
    let path = directory.join(TEMPLATE_FILE);
    match fs::read_to_string(&path) {
        Ok(template) => return Ok(Some(template)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(ModelFilesError::Invalid {
                path,
                source: error.into(),
            });
        }
    }
    Ok(match tokenizer_config.chat_template {
        Some(Value::String(template)) => Some(template),
        Some(Value::Array(templates)) => {
            let is_default = |template: &&Value| template["name"] == DEFAULT_TEMPLATE;
            let found = templates.iter().find(is_default);
            found.and_then(|template| Some(template["template"].as_str()?.to_owned()))
        }
        _ => None,
    })
}

fn need(path: &Path, remedy: &'static str) -> Result<Vec<u8>, ModelFilesError> {
    fs::read(path).map_err(|source| ModelFilesError::Missing {
        path: path.to_owned(),
        remedy,
        source,
    })
}

fn optional<T: Default + DeserializeOwned>(
    directory: &Path,
    name: &str,
) -> Result<T, ModelFilesError> {
    let path = directory.join(name);
    match fs::read(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(ModelFilesError::Invalid {
            path,
            source: error.into(),
        }),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, ModelFilesError> {
    serde_json::from_slice(text).map_err(|source| ModelFilesError::Invalid {
        path: path.to_owned(),
        source: source.into(),
    })
}

fn name_of(directory: &Path) -> String {
    let name = directory.canonicalize().ok();
    let name = name.as_deref().and_then(Path::file_name);
    name.map_or_else(
        || "model".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
