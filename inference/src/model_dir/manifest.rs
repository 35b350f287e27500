//! The description in a model directory: versioned, complete, and strict about what it does not know.

use std::{collections::BTreeMap, fmt, fs::File, io, path::Path};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{digest, quality::Quality};

/// The version of the layout that we write and read.
pub const FORMAT_VERSION: u32 = 1;

/// Why a description cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is no JSON, or has unknown or missing fields.
    #[error("failed to parse the description")]
    Parse(#[from] serde_json::Error),
    /// It is of another version.
    #[error("formatVersion is {found}, and this version of the software reads {FORMAT_VERSION}")]
    Version {
        /// The version it says.
        found: u32,
    },
    /// A number that cannot be.
    #[error("{field} is not possible")]
    Impossible {
        /// The field.
        field: &'static str,
    },
}

/// How the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quantization {
    /// 32 bit floats.
    None,
    /// 8-bit blocks: a quarter of the size, and several times the speed.
    Int8,
    /// 4-bit blocks in layers, 8-bit ones for the vocabulary: smallest, and least exact.
    Int4,
}

impl fmt::Display for Quantization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Int8 => "Int8",
            Self::Int4 => "Int4",
        })
    }
}

/// The numbers of a decoder that its user must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Architecture {
    /// Transformer layers.
    pub layers: usize,
    /// The width of the residual stream.
    pub hidden_size: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// The size of each head.
    pub head_size: usize,
    /// Tokens in the vocabulary.
    pub vocabulary_size: usize,
    /// Positions the model was trained for.
    pub context_length: usize,
}

/// Tokens with a meaning of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tokens {
    /// Begins a text.
    pub bos: Option<u32>,
    /// End an answer.
    pub eos: Vec<u32>,
}

/// Where the model came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The SHA-256 of the imported file.
    pub sha256: String,
    /// The importer that wrote the directory.
    pub importer_version: u32,
}

/// What a file was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileRecord {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl FileRecord {
    /// Describes a file as it is now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            bytes,
            sha256: digest::sha256_of(file, |_| {})?,
        })
    }
}

/// The content of `model.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of this layout.
    pub format_version: u32,
    /// The model's own name.
    pub name: String,
    /// The decoder's numbers.
    pub architecture: Architecture,
    /// Special tokens.
    pub tokens: Tokens,
    /// How a conversation becomes a prompt, in Jinja.
    pub chat_template: Option<String>,
    /// How the weights are stored.
    pub quantization: Quantization,
    /// What the quantization cost, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// Where the model came from.
    pub source: Source,
    /// The other files of the directory.
    pub files: BTreeMap<String, FileRecord>,
}

impl Manifest {
    /// Reads a description and checks it.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        /// Lets a description of another version say so, before its fields are looked at.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            format_version: u32,
        }
        let Version {
            format_version: found,
        } = serde_json::from_str(text)?;
        if found != FORMAT_VERSION {
            return Err(ManifestError::Version { found });
        }
        let manifest: Self = serde_json::from_str(text)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers always serialize")
    }

    fn validate(&self) -> Result<(), ManifestError> {
        let Architecture {
            layers,
            hidden_size,
            heads,
            kv_heads,
            head_size,
            vocabulary_size,
            context_length,
        } = self.architecture;
        for (field, value) in [
            ("architecture.layers", layers),
            ("architecture.hiddenSize", hidden_size),
            ("architecture.heads", heads),
            ("architecture.kvHeads", kv_heads),
            ("architecture.headSize", head_size),
            ("architecture.vocabularySize", vocabulary_size),
            ("architecture.contextLength", context_length),
        ] {
            if value == 0 || u32::try_from(value).is_err() {
                return Err(ManifestError::Impossible { field });
            }
        }
        let exists = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary_size);
        if !self.tokens.bos.iter().all(exists) {
            return Err(ManifestError::Impossible {
                field: "tokens.bos",
            });
        }
        if self.tokens.eos.is_empty() || !self.tokens.eos.iter().all(exists) {
            return Err(ManifestError::Impossible {
                field: "tokens.eos",
            });
        }
        let is_plain = |name: &String| {
            Path::new(name)
                .file_name()
                .is_some_and(|file| file == name.as_str())
        };
        for required in [super::GRAPH_FILE, super::TOKENIZER_FILE] {
            if !self.files.contains_key(required) || !self.files.keys().all(is_plain) {
                return Err(ManifestError::Impossible { field: "files" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) fn example() -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        name: "example".to_owned(),
        architecture: Architecture {
            layers: 2,
            hidden_size: 64,
            heads: 4,
            kv_heads: 2,
            head_size: 16,
            vocabulary_size: 300,
            context_length: 128,
        },
        tokens: Tokens {
            bos: Some(1),
            eos: vec![2],
        },
        chat_template: None,
        quantization: Quantization::Int8,
        quality: None,
        source: Source {
            sha256: "00".repeat(32),
            importer_version: 1,
        },
        files: BTreeMap::from([super::GRAPH_FILE, super::TOKENIZER_FILE].map(|name| {
            (
                name.to_owned(),
                FileRecord {
                    bytes: 0,
                    sha256: "00".repeat(32),
                },
            )
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_writing_and_reading() {
        assert_eq!(
            Manifest::parse(&example().to_json()).expect("valid"),
            example()
        );
    }

    #[test]
    fn another_version_says_so_whatever_else_it_holds() {
        let message = Manifest::parse(r#"{"formatVersion": 2, "new": true}"#)
            .expect_err("newer")
            .to_string();
        assert_eq!(
            message,
            "formatVersion is 2, and this version of the software reads 1"
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = example()
            .to_json()
            .replacen('{', r#"{"temperature": 1,"#, 1);
        assert!(matches!(
            Manifest::parse(&text),
            Err(ManifestError::Parse(_))
        ));
    }

    #[test]
    fn impossible_values_name_their_field() {
        let mut manifest = example();
        manifest.tokens.eos = vec![300];
        let message = Manifest::parse(&manifest.to_json())
            .expect_err("no such token")
            .to_string();
        assert_eq!(message, "tokens.eos is not possible");

        let mut manifest = example();
        manifest.architecture.layers = 0;
        let message = Manifest::parse(&manifest.to_json())
            .expect_err("no layers")
            .to_string();
        assert_eq!(message, "architecture.layers is not possible");
    }

    #[test]
    fn files_outside_of_the_directory_are_refused() {
        let mut manifest = example();
        manifest.files.insert(
            "../secret".to_owned(),
            FileRecord {
                bytes: 0,
                sha256: String::new(),
            },
        );
        assert!(matches!(
            Manifest::parse(&manifest.to_json()),
            Err(ManifestError::Impossible { field: "files" })
        ));
    }
}
