//! Writes the tokenizer of a GGUF file in the format of the `tokenizers` library.
//!
//! What is not known is refused, since a wrong rule would still give tokens, only others than the model was trained on.

mod byte_level;
mod sentence_piece;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use thiserror::Error;

use super::gguf::{Metadata, MetadataError};

const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Why a tokenizer could not be taken over.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// A metadata entry is missing or has the wrong type.
    #[error("the tokenizer's description is incomplete")]
    Metadata(#[from] MetadataError),
    /// Another kind of tokenizer.
    #[error(
        "the tokenizer model {found:?} is not supported: \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece) are"
    )]
    Model {
        /// The value of `tokenizer.ggml.model`.
        found: String,
    },
    /// An unknown rule for splitting text.
    #[error(
        "the pre-tokenizer {found:?} is not supported; supported are {}",
        byte_level::supported_names()
    )]
    PreTokenizer {
        /// The value of `tokenizer.ggml.pre`.
        found: String,
    },
    /// Two tokens are the same text.
    #[error("the token {token:?} occurs twice in tokenizer.ggml.tokens")]
    DuplicateToken {
        /// The token.
        token: String,
    },
    /// Two lists that describe tokens do not belong together.
    #[error("tokenizer.ggml.tokens has {tokens} entries, and tokenizer.ggml.{list} has {found}")]
    LengthMismatch {
        /// The other list's name.
        list: &'static str,
        /// The number of tokens.
        tokens: usize,
        /// The length of the other list.
        found: usize,
    },
    /// A list of scores with something else in it.
    #[error("tokenizer.ggml.scores has an entry that is no finite number")]
    Score,
    /// A merge rule that is not two tokens.
    #[error(
        "entry {index} of tokenizer.ggml.merges is {found:?}, which is not two tokens with a space between"
    )]
    Merge {
        /// The rule's place in the list.
        index: usize,
        /// The rule.
        found: String,
    },
    /// The library refuses what the file describes.
    #[error("the tokenizer's description is contradictory")]
    Invalid(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The number of a special token lies outside of the vocabulary.
    #[error("{key} is {id}, and the vocabulary has {size} tokens")]
    SpecialToken {
        /// The metadata key.
        key: &'static str,
        /// Its value.
        id: u32,
        /// The size of the vocabulary.
        size: usize,
    },
}

/// The tokenizer as a JSON text, and what the engine needs to know of it.
#[derive(Debug)]
pub(crate) struct ImportedTokenizer {
    /// The text of `tokenizer.json`.
    pub(crate) json: String,
    /// The size of the vocabulary.
    pub(crate) vocabulary_size: usize,
    /// The token that begins a text.
    pub(crate) bos: Option<u32>,
    /// The tokens that end an answer.
    pub(crate) eos: Vec<u32>,
}

/// Reads and checks a file's tokenizer.
pub(crate) fn import_tokenizer(metadata: &Metadata) -> Result<ImportedTokenizer, TokenizerError> {
    let tokens = metadata.strings("tokenizer.ggml.tokens")?;
    let types = metadata.integers("tokenizer.ggml.token_type")?;
    if tokens.len() != types.len() {
        return Err(TokenizerError::LengthMismatch {
            list: "token_type",
            tokens: tokens.len(),
            found: types.len(),
        });
    }
    let json = match metadata.string("tokenizer.ggml.model")? {
        "gpt2" => byte_level::describe(metadata, &tokens, &types)?,
        "llama" => sentence_piece::describe(metadata, &tokens, &types)?,
        other => {
            return Err(TokenizerError::Model {
                found: other.to_owned(),
            });
        }
    };
    let json = json.to_string();
    tokenizers::Tokenizer::from_bytes(&json).map_err(TokenizerError::Invalid)?;
    let special = |key| special_token(metadata, key, tokens.len());
    let eos_keys = [
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",
    ];
    let mut eos = Vec::new();
    for key in eos_keys {
        eos.extend(special(key)?.filter(|id| !eos.contains(id)));
    }
    if eos.is_empty() {
        return Err(MetadataError::Missing {
            key: eos_keys[0].to_owned(),
        }
        .into());
    }
    Ok(ImportedTokenizer {
        vocabulary_size: tokens.len(),
        bos: special("tokenizer.ggml.bos_token_id")?,
        eos,
        json,
    })
}

fn added_tokens(tokens: &[&str], types: &[i64]) -> Vec<Value> {
    let is_added = |kind: i64| matches!(kind, UNKNOWN | CONTROL | USER_DEFINED);
    let added = tokens
        .iter()
        .zip(types)
        .enumerate()
        .filter(|(_, (_, kind))| is_added(**kind));
    added
        .map(|(id, (token, kind))| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": *kind != USER_DEFINED,
            })
        })
        .collect()
}

fn vocabulary<'a>(tokens: &[&'a str]) -> Result<BTreeMap<&'a str, usize>, TokenizerError> {
    let mut vocabulary = BTreeMap::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocabulary.insert(*token, id).is_some() {
            return Err(TokenizerError::DuplicateToken {
                token: (*token).to_owned(),
            });
        }
    }
    Ok(vocabulary)
}

fn special_token(
    metadata: &Metadata,
    key: &'static str,
    size: usize,
) -> Result<Option<u32>, TokenizerError> {
    match metadata.optional_u32(key)? {
        Some(id) if usize::try_from(id).is_ok_and(|id| id < size) => Ok(Some(id)),
        Some(id) => Err(TokenizerError::SpecialToken { key, id, size }),
        None => Ok(None),
    }
}
