//! `clawdbot model …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Turn a GGUF file into a model directory that the gateway loads at once.
    Import(ImportArgs),
    /// Download a file and check its SHA-256.
    Fetch(FetchArgs),
}

/// Flags of `clawdbot model import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The GGUF file: a llama-architecture chat model with its tokenizer.
    #[arg(value_name = "SOURCE.gguf")]
    pub source: PathBuf,
    /// The model directory to write; it must not exist yet, or be empty.
    #[arg(value_name = "TARGET_DIR")]
    pub target: PathBuf,
    /// How the weights are stored: int8 is fastest on a CPU, none keeps 32-bit floating point.
    #[arg(long, value_enum, default_value_t = Weights::Int8, env = "CLAWDBOT_QUANTIZATION")]
    pub quantization: Weights,
    /// Keep a model directory that this version imported from the same file, and replace any other one.
    #[arg(long, env = "CLAWDBOT_UPDATE")]
    pub update: bool,
}

/// Flags of `clawdbot model fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The address, http or https.
    pub url: String,
    /// Where the file goes; nothing is there until it is whole and right.
    pub target: PathBuf,
    /// The SHA-256 that the file must have, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    pub sha256: String,
}

/// Weight formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// 32-bit floating point.
    None,
    /// 8-bit blocks of 32 weights.
    Int8,
}
