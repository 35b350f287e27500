//! `clawdbot model …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::SourceArgument;

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Turn a model as it is published (GGUF, safetensors or ONNX) into a directory that the gateway loads at once.
    Import(ImportArgs),
    /// Download a file and check its SHA-256.
    Fetch(FetchArgs),
    /// Fetch a model into the state directory, where a gateway finds it, and say where it is.
    Pull(PullArgs),
}

/// Flags of `clawdbot model import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A GGUF file, or a directory with config.json, tokenizer.json and either safetensors files or an ONNX decoder.
    /// Families: llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3 (text), and text encoders (bert, roberta, xlm-roberta,
    /// camembert), which embed or rank; an ONNX decoder may be of any.
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// The model directory to write; it must not exist yet, or be empty.
    #[arg(value_name = "TARGET_DIR")]
    pub target: PathBuf,
    /// How the weights are stored: int8 is exact enough for nearly all uses, int4 is smaller and less exact, none keeps
    /// 32-bit floating point. An ONNX decoder keeps what it has, which this must say; text encoders know none alone.
    #[arg(long, value_enum, default_value_t = Weights::Int8, env = "CLAWDBOT_QUANTIZATION")]
    pub quantization: Weights,
    /// Keep a model directory that this version imported from the same source, and replace any other one.
    #[arg(long, env = "CLAWDBOT_UPDATE")]
    pub update: bool,
    /// Measure what the quantization costs against 32-bit weights, print it, and keep it in the directory's model.json.
    /// Needs ONNX Runtime, room for the 32-bit weights beside the target, and a minute or more.
    #[arg(long, env = "CLAWDBOT_REPORT")]
    pub report: bool,
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
    /// 8-bit blocks of 32 or 64 weights.
    Int8,
    /// 4-bit blocks of 32 weights in layers, and 8-bit ones for the vocabulary.
    Int4,
}

/// Flags of `clawdbot model pull`. Credentials come from the environment: HF_TOKEN; AWS_ACCESS_KEY_ID and
/// AWS_SECRET_ACCESS_KEY; CLAWDBOT_REGISTRY_USER and CLAWDBOT_REGISTRY_PASSWORD.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// What to fetch: hf://OWNER/NAME or hf://OWNER/NAME@REVISION, s3://BUCKET/KEY or s3://BUCKET/FOLDER/,
    /// oci://REGISTRY/REPOSITORY:TAG, or the URL of a GGUF file.
    #[arg(value_name = "SOURCE")]
    pub source: SourceArgument,
    /// Which files of a repository, repeatable: names, or patterns such as *.gguf.
    #[arg(long = "file", value_name = "PATTERN")]
    pub files: Vec<String>,
    /// The SHA-256 that a file behind a URL, or an object, must have, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// URL of a mirror of the hub. Default: that of Hugging Face.
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT")]
    pub hub: Option<String>,
    /// URL of the object storage. Default: Amazon's.
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub storage: Option<String>,
    /// Region of the object storage.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "us-east-1",
        env = "AWS_REGION"
    )]
    pub region: String,
    /// Speak HTTP without TLS to the registry.
    #[arg(long)]
    pub plain_http: bool,
    /// Fetch nothing, and say where it is if it is there.
    #[arg(long, env = "CLAWDBOT_OFFLINE")]
    pub offline: bool,
    /// Folder for downloads and imports, as of `clawdbot gateway`.
    #[arg(long, value_name = "DIR", env = "CLAWDBOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}
