//! What the files of Hugging Face and sentence-transformers say of an encoder, checked for being what we compute.
//!
//! Whatever would change the result and is not known here is refused by its file and field.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use super::{Activation, Description, Embedding, Family, Head, Pooling};

/// The file that describes a model's layers.
const CONFIG_FILE: &str = "config.json";
/// The file with a model's weights.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
/// No model has a larger number in its description; it keeps products of two within range.
const LARGEST: usize = 1 << 24;

/// Why files do not describe an encoder that we can run.
#[derive(Debug, Error)]
pub enum HubError {
    /// A file is missing or cannot be read.
    #[error("failed to read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is no JSON, or lacks a field.
    #[error("failed to understand {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A value that we cannot honour.
    #[error("{}: {field} is {found}, which is not supported: {remedy}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        remedy: &'static str,
    },
}

/// `config.json`, as far as encoders have it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    pub(crate) model_type: String,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(rename = "_name_or_path", default)]
    name: String,
    #[serde(alias = "dim", alias = "d_model")]
    pub(crate) hidden_size: usize,
    // What follows, an ONNX graph knows itself.
    #[serde(default)]
    pub(crate) num_hidden_layers: usize,
    #[serde(default)]
    pub(crate) num_attention_heads: usize,
    #[serde(default)]
    pub(crate) intermediate_size: usize,
    pub(crate) vocab_size: usize,
    pub(crate) max_position_embeddings: usize,
    #[serde(default = "default_epsilon")]
    pub(crate) layer_norm_eps: f32,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    id2label: Option<Value>,
    #[serde(default)]
    matryoshka_dimensions: Vec<usize>,
}

fn default_epsilon() -> f32 {
    1e-12
}

/// One entry of `modules.json`.
#[derive(Debug, Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `config.json` of a pooling module.
#[derive(Debug, Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    include_prompt: Option<bool>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct TransformerConfig {
    #[serde(default)]
    max_seq_length: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct PromptConfig {
    #[serde(default)]
    prompts: serde_json::Map<String, Value>,
    #[serde(default)]
    default_prompt_name: Option<String>,
}

impl Config {
    /// Whose layers it describes; checked for being those that [`crate::import`] writes.
    pub(crate) fn family(&self, directory: &Path) -> Result<Family, HubError> {
        let family = match self.model_type.as_str() {
            "bert" => Family::Bert,
            "roberta" | "xlm-roberta" | "camembert" => Family::Roberta,
            other => {
                return Err(in_config(
                    directory,
                    "model_type",
                    other,
                    "bert, roberta, xlm-roberta and camembert are; export others to ONNX with Optimum",
                ));
            }
        };
        if let Some(kind) = self.position_embedding_type.as_deref()
            && kind != "absolute"
        {
            let remedy = "only absolute is; export it to ONNX with Optimum";
            return Err(in_config(
                directory,
                "position_embedding_type",
                kind,
                remedy,
            ));
        }
        if self.is_decoder {
            return Err(in_config(
                directory,
                "is_decoder",
                "true",
                "give an encoder",
            ));
        }
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, size) in sizes {
            if !(1..=LARGEST).contains(&size) {
                let remedy = "no model has that; download it again";
                return Err(in_config(directory, field, &size.to_string(), remedy));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let found = self.num_attention_heads.to_string();
            let remedy = "it must divide hidden_size";
            return Err(in_config(directory, "num_attention_heads", &found, remedy));
        }
        Ok(family)
    }

    /// The function of its feed-forward blocks.
    pub(crate) fn activation(&self, directory: &Path) -> Result<Activation, HubError> {
        match self.hidden_act.as_deref().unwrap_or("gelu") {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(in_config(
                directory,
                "hidden_act",
                other,
                "gelu, gelu_new and relu are; export it to ONNX with Optimum",
            )),
        }
    }

    /// Whether it is a classifier.
    pub(crate) fn is_classifier(&self) -> bool {
        self.architectures
            .iter()
            .any(|name| name.ends_with("ForSequenceClassification"))
    }

    fn first_position(&self) -> usize {
        match self.model_type.as_str() {
            "roberta" | "xlm-roberta" | "camembert" => self.pad_token_id.unwrap_or(1) + 1,
            _ => 0,
        }
    }

    fn labels(&self) -> usize {
        match &self.id2label {
            Some(Value::Object(labels)) => labels.len(),
            _ => 2,
        }
    }
}

/// Whether a directory of the hub holds a text encoder of a family that can be imported, by its `config.json`.
pub fn is_encoder(directory: &Path) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        model_type: String,
    }
    let text = fs::read(directory.join("config.json")).unwrap_or_default();
    serde_json::from_slice(&text).is_ok_and(|kind: Kind| {
        matches!(
            kind.model_type.as_str(),
            "bert" | "roberta" | "xlm-roberta" | "camembert"
        )
    })
}

/// Reads a directory's `config.json`.
pub(crate) fn read_config(directory: &Path) -> Result<Config, HubError> {
    read(&directory.join(CONFIG_FILE))
}

/// Reads what a directory says beside its layers.
pub(crate) fn read_description(directory: &Path, config: &Config) -> Result<Description, HubError> {
    let transformer: TransformerConfig =
        read_optional(&directory.join("sentence_bert_config.json"))?.unwrap_or_default();
    let first_position = config.first_position();
    let positions = config
        .max_position_embeddings
        .saturating_sub(first_position);
    let max_tokens = transformer
        .max_seq_length
        .map_or(positions, |limit| limit.min(positions));
    let head = if config.is_classifier() {
        if config.labels() != 1 {
            let found = format!("{} labels", config.labels());
            let remedy = "a reranker has one label, the score";
            return Err(in_config(directory, "id2label", &found, remedy));
        }
        Head::Score
    } else {
        Head::Embedding(embedding(directory, config)?)
    };
    Ok(Description {
        name: name(directory, config),
        hidden_size: config.hidden_size,
        vocabulary_size: config.vocab_size,
        max_tokens,
        first_position,
        head,
    })
}

fn name(directory: &Path, config: &Config) -> String {
    let given = Path::new(&config.name).file_name();
    let own = given.or_else(|| directory.file_name());
    own.map_or_else(
        || "model".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// As sentence-transformers does it: without modules, the mean of all tokens as it is.
fn embedding(directory: &Path, config: &Config) -> Result<Embedding, HubError> {
    let path = directory.join("modules.json");
    let modules: Vec<Module> = read_optional(&path)?.unwrap_or_default();
    let (mut pooling, mut normalize, mut excludes_prompt) = (Pooling::Mean, false, false);
    for module in &modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                let path = directory.join(&module.path).join(CONFIG_FILE);
                let read: PoolingConfig = read(&path)?;
                excludes_prompt = read.include_prompt == Some(false);
                pooling = mode(&path, &read)?;
            }
            "Normalize" => normalize = true,
            other => {
                let remedy = "Transformer, Pooling and Normalize are";
                return Err(unsupported(&path, "type", other, remedy));
            }
        }
    }
    let path = directory.join("config_sentence_transformers.json");
    let prompts: PromptConfig = read_optional(&path)?.unwrap_or_default();
    let prompt = prompts
        .default_prompt_name
        .and_then(|name| Some(prompts.prompts.get(&name)?.as_str()?.to_owned()))
        .unwrap_or_default();
    if excludes_prompt && !prompt.is_empty() {
        let remedy = "pooling without the prompt is unknown; remove default_prompt_name";
        return Err(unsupported(&path, "default_prompt_name", &prompt, remedy));
    }
    Ok(Embedding {
        pooling,
        normalize,
        dimensions: config.matryoshka_dimensions.clone(),
        prompt,
    })
}

fn mode(path: &Path, config: &PoolingConfig) -> Result<Pooling, HubError> {
    let other = config
        .rest
        .iter()
        .find(|(field, value)| field.starts_with("pooling_mode_") && **value == Value::Bool(true));
    match (
        config.pooling_mode_cls_token,
        config.pooling_mode_mean_tokens,
        other,
    ) {
        (true, false, None) => Ok(Pooling::Cls),
        (false, true, None) => Ok(Pooling::Mean),
        (_, _, other) => {
            let found = other.map_or("none or several", |(field, _)| field.as_str());
            let remedy = "exactly one of pooling_mode_cls_token and pooling_mode_mean_tokens is";
            Err(unsupported(path, "pooling_mode", found, remedy))
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, HubError> {
    let text = fs::read(path).map_err(|source| HubError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| HubError::Malformed {
        path: path.to_owned(),
        source,
    })
}

fn read_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, HubError> {
    match read(path) {
        Ok(value) => Ok(Some(value)),
        Err(HubError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A value of `config.json`.
fn in_config(directory: &Path, field: &'static str, found: &str, remedy: &'static str) -> HubError {
    unsupported(&directory.join(CONFIG_FILE), field, found, remedy)
}

fn unsupported(path: &Path, field: &'static str, found: &str, remedy: &'static str) -> HubError {
    HubError::Unsupported {
        path: path.to_owned(),
        field,
        found: found.to_owned(),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn directory(files: &[(&str, Value)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, content.to_string()).expect("written");
        }
        directory
    }

    fn config() -> Value {
        json!({
            "model_type": "bert", "_name_or_path": "somebody/tiny", "architectures": ["BertModel"], "hidden_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30,
            "max_position_embeddings": 64, "pad_token_id": 0, "matryoshka_dimensions": [4],
        })
    }

    fn describe(files: &[(&str, Value)]) -> Result<Description, HubError> {
        let directory = directory(files);
        let config = read_config(directory.path())?;
        config.family(directory.path())?;
        read_description(directory.path(), &config)
    }

    #[test]
    fn sentence_transformers_say_how_vectors_are_made() {
        let description = describe(&[
            ("config.json", config()),
            (
                "modules.json",
                json!([
                    {"path": "", "type": "sentence_transformers.models.Transformer"},
                    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
                ]),
            ),
            (
                "1_Pooling/config.json",
                json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": false}),
            ),
            ("sentence_bert_config.json", json!({"max_seq_length": 32})),
            (
                "config_sentence_transformers.json",
                json!({"prompts": {"query": "q: "}, "default_prompt_name": "query"}),
            ),
        ])
        .expect("supported");
        assert_eq!(description.name, "tiny");
        assert_eq!(description.max_tokens, 32);
        assert_eq!(
            description.head,
            Head::Embedding(Embedding {
                pooling: Pooling::Cls,
                normalize: true,
                dimensions: vec![4],
                prompt: "q: ".to_owned(),
            })
        );
    }

    #[test]
    fn roberta_counts_positions_from_behind_its_padding() {
        let mut config = config();
        config["model_type"] = json!("xlm-roberta");
        config["pad_token_id"] = json!(1);
        config["architectures"] = json!(["XLMRobertaForSequenceClassification"]);
        config["id2label"] = json!({"0": "LABEL_0"});
        let description = describe(&[("config.json", config)]).expect("supported");
        assert_eq!(
            (description.first_position, description.max_tokens),
            (2, 62)
        );
        assert_eq!(description.head, Head::Score);
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_its_field() {
        for (field, value, told) in [
            ("model_type", json!("deberta"), "model_type is deberta"),
            (
                "position_embedding_type",
                json!("relative_key"),
                "position_embedding_type",
            ),
            ("is_decoder", json!(true), "is_decoder"),
            ("num_attention_heads", json!(3), "must divide hidden_size"),
            ("hidden_size", json!(0), "hidden_size is 0"),
            (
                "architectures",
                json!(["BertForSequenceClassification"]),
                "2 labels",
            ),
        ] {
            let mut config = config();
            config[field] = value;
            let message = describe(&[("config.json", config)])
                .expect_err("unsupported")
                .to_string();
            assert!(message.contains(told), "{message}");
        }
        let modules = json!([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]);
        let message = describe(&[("config.json", config()), ("modules.json", modules)])
            .expect_err("unsupported")
            .to_string();
        assert!(message.contains("type is Dense"), "{message}");
    }
}
