//! Directories that must be refused: with a clear reason, and without leaving anything behind.

use std::{error::Error, fs, path::Path};

use claw_inference::{Quantization, import::import_model};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    families::case,
    family_model::{FamilyModel, Weight, safetensors},
    tiny_llama::tokenizer_json,
};

/// A directory of one family, to be broken.
struct Directory {
    folder: TempDir,
    model: FamilyModel,
}

impl Directory {
    fn new(family: &str) -> Self {
        let folder = TempDir::new().expect("a directory");
        let model = FamilyModel::new(case(family).config);
        model.write_directory(&folder.path().join("source"));
        Self { folder, model }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("source").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("written");
    }

    fn set_config(&self, field: &str, value: Value) {
        let mut config = self.model.config.clone();
        config[field] = value;
        self.write("config.json", config.to_string());
    }

    fn change_weights(&self, change: impl FnOnce(&mut Vec<Weight>)) {
        let mut weights = self.model.weights();
        change(&mut weights);
        self.write("model.safetensors", safetensors(&weights));
    }

    /// The whole chain of causes.
    fn refusal(&self, quantization: Quantization) -> String {
        self.refusal_of(&self.folder.path().join("source"), quantization)
    }

    fn refusal_of(&self, source: &Path, quantization: Quantization) -> String {
        let target = self.folder.path().join("model");
        let error = import_model(source, &target, quantization, &mut |_| {})
            .expect_err("the directory is refused");
        let left = fs::read_dir(self.folder.path()).expect("readable").count();
        assert_eq!(left, 1, "only the source is there");
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(current) = cause {
            message = format!("{message}: {current}");
            cause = current.source();
        }
        message
    }
}

#[rstest]
#[case::architecture("model_type", json!("phi3"), "the architecture \"phi3\" is not supported; supported are llama")]
#[case::images("model_type", json!("gemma3"), "the architecture \"gemma3\" is not supported")]
#[case::no_heads("num_attention_heads", json!(0), "field num_attention_heads of config.json is 0")]
#[case::kv_heads("num_key_value_heads", json!(3), "field num_key_value_heads of config.json is 3, which is not possible")]
#[case::missing(
    "intermediate_size",
    Value::Null,
    "config.json has no intermediate_size"
)]
#[case::rope("rope_parameters", json!({"rope_type": "yarn", "factor": 4.0}), "rope_type = \"yarn\"")]
#[case::rope_factor("rope_parameters", json!({"rope_type": "linear"}), "rope factor of config.json is absent")]
#[case::partial("rope_parameters", json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor = 0.5")]
#[case::activation("hidden_act", json!("relu2"), "hidden_act = \"relu2\"")]
#[case::quantized("quantization_config", json!({"quant_method": "gptq"}), "import the unquantized model")]
#[case::more_layers("num_hidden_layers", json!(3), "the tensor model.layers.2.input_layernorm.weight is missing")]
#[case::fewer_layers("num_hidden_layers", json!(1), "a weight that our graph has no place for (model.layers.1.")]
#[case::shape("intermediate_size", json!(128), "model.layers.0.mlp.gate_proj.weight has the dimensions [96, 64], where [128, 64] are expected")]
#[case::vocabulary("vocab_size", json!(200), "tokenizer.json has 260 tokens, and config.json says vocab_size = 200: it is the tokenizer of another model")]
#[case::eos("eos_token_id", json!(9999), "config.json says eos_token_id = 9999, which is no token of tokenizer.json")]
fn what_we_cannot_run_is_refused_by_name(
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let directory = Directory::new("llama");
    directory.set_config(field, value);
    let message = directory.refusal(Quantization::None);
    assert!(message.contains(expected), "{message}");
}

#[rstest]
#[case("config.json", "it describes the model")]
#[case(
    "tokenizer.json",
    "save the model's tokenizer in the format of the tokenizers library"
)]
fn a_missing_file_says_where_it_comes_from(#[case] name: &str, #[case] expected: &str) {
    let directory = Directory::new("llama");
    fs::remove_file(directory.path(name)).expect("removed");
    let message = directory.refusal(Quantization::None);
    assert!(message.contains(name), "{message}");
    if name == "tokenizer.json" {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_tokenizer_of_another_model_is_refused() {
    let directory = Directory::new("llama");
    directory.write(
        "tokenizer_config.json",
        json!({"eos_token": "</s>"}).to_string(),
    );
    let message = directory.refusal(Quantization::None);
    let expected =
        "tokenizer_config.json says eos_token = \"</s>\", which is no token of tokenizer.json";
    assert!(message.contains(expected), "{message}");

    let mut tokenizer = tokenizer_json();
    tokenizer["model"]["merges"] = json!([["x", "nothing"]]);
    directory.write("tokenizer.json", tokenizer.to_string());
    let message = directory.refusal(Quantization::None);
    assert!(message.contains("tokenizer.json is not valid"), "{message}");
}

#[test]
fn a_missing_head_is_named() {
    let directory = Directory::new("llama");
    directory.change_weights(|weights| weights.retain(|weight| weight.name != "lm_head.weight"));
    let message = directory.refusal(Quantization::None);
    assert!(
        message.contains("the tensor lm_head.weight is missing"),
        "{message}"
    );
}

#[test]
fn a_bias_without_its_siblings_is_named() {
    let directory = Directory::new("qwen2");
    directory.change_weights(|weights| {
        weights.retain(|weight| weight.name != "model.layers.0.self_attn.k_proj.bias");
    });
    let message = directory.refusal(Quantization::None);
    let expected = "the tensor model.layers.0.self_attn.k_proj.bias is missing";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn an_unknown_encoding_names_file_tensor_and_type() {
    let directory = Directory::new("llama");
    let content = fs::read(directory.path("model.safetensors")).expect("a file");
    let content = String::from_utf8_lossy(&content[..200])
        .contains("F32")
        .then_some(content);
    let mut content = content.expect("floats");
    let place = content
        .windows(5)
        .position(|bytes| bytes == b"\"F32\"")
        .expect("an entry");
    content[place + 1..place + 4].copy_from_slice(b"I32");
    directory.write("model.safetensors", content);
    let message = directory.refusal(Quantization::None);
    assert!(
        message
            .contains("model.safetensors: the tensor model.embed_tokens.weight has the type I32"),
        "{message}"
    );
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let directory = Directory::new("llama");
    let content = fs::read(directory.path("model.safetensors")).expect("a file");
    for length in (0..content.len())
        .step_by(9973)
        .chain([4, 100, content.len() - 1])
    {
        directory.write("model.safetensors", &content[..length]);
        let message = directory.refusal(Quantization::None);
        let names_the_damage =
            message.contains("is truncated") || message.contains("is no safetensors file");
        assert!(names_the_damage, "{length} bytes: {message}");
        assert!(message.contains("model.safetensors"), "{message}");
    }
}

#[test]
fn a_missing_shard_and_a_wrong_index_are_named() {
    let directory = Directory::new("llama");
    directory
        .model
        .write_shards(&directory.folder.path().join("source"));
    let index = fs::read_to_string(directory.path("model.safetensors.index.json")).expect("a file");
    directory.write(
        "model.safetensors.index.json",
        index.replace("model-00001-of", "../model-00001-of"),
    );
    let message = directory.refusal(Quantization::None);
    assert!(
        message.contains("names the shard \"../model-00001-of-00002.safetensors\""),
        "{message}"
    );

    let mut value: Value = serde_json::from_str(&index).expect("valid");
    value["weight_map"]["lm_head.weight"] = json!("model-00002-of-00002.safetensors");
    directory.write("model.safetensors.index.json", value.to_string());
    let message = directory.refusal(Quantization::None);
    assert!(
        message.contains("the tensor lm_head.weight is not in the shard"),
        "{message}"
    );

    directory.write("model.safetensors.index.json", index);
    fs::remove_file(directory.path("model-00002-of-00002.safetensors")).expect("removed");
    let message = directory.refusal(Quantization::None);
    assert!(message.contains("source"), "{message}");
}

#[test]
fn a_file_of_a_directory_and_a_directory_without_a_model_say_what_to_give() {
    let directory = Directory::new("llama");
    let message = directory.refusal_of(&directory.path("model.safetensors"), Quantization::None);
    assert!(
        message.contains("give the directory that holds it"),
        "{message}"
    );
    fs::remove_file(directory.path("model.safetensors")).expect("removed");
    let message = directory.refusal(Quantization::None);
    assert!(message.contains("holds no model"), "{message}");
}

#[test]
fn rows_that_blocks_cannot_divide_name_the_remedy() {
    let directory = Directory::new("llama");
    let mut config = directory.model.config.clone();
    config["hidden_size"] = json!(48);
    let model = FamilyModel::new(config);
    model.write_directory(&directory.folder.path().join("source"));
    let message = directory.refusal(Quantization::Int4);
    assert!(
        message.contains("rows of 48 values, which Int4 cannot divide"),
        "{message}"
    );
    assert!(
        message.contains("import with quantization None"),
        "{message}"
    );
}
