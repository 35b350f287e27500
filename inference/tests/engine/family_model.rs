//! Tiny models of every family, with weights that follow from their names: as the script of the reference makes them.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    gguf_writer::{GgufWriter, Tensor, Value as Entry},
    tiny_llama::{add_tokenizer, tokenizer_json},
};

const F32: u32 = 0;

/// A family's `config.json`, and what follows from it.
pub(crate) struct FamilyModel {
    pub(crate) config: Value,
}

/// A tensor by its name in the transformers library.
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl FamilyModel {
    pub(crate) fn new(config: Value) -> Self {
        Self { config }
    }

    fn number(&self, field: &str) -> usize {
        let number = self.config[field].as_u64().expect("a number");
        usize::try_from(number).expect("small")
    }

    fn kind(&self) -> &str {
        self.config["model_type"].as_str().expect("a text")
    }

    fn is_gemma(&self) -> bool {
        self.kind().starts_with("gemma")
    }

    /// All tensors.
    pub(crate) fn weights(&self) -> Vec<Weight> {
        let (hidden, inner, head) = (
            self.number("hidden_size"),
            self.number("intermediate_size"),
            self.number("head_dim"),
        );
        let query = self.number("num_attention_heads") * head;
        let kv = self.number("num_key_value_heads") * head;
        let is = |kinds: &[&str]| kinds.contains(&self.kind());
        let has_bias = |field: &str| self.config[field] == true;
        let mut shapes: Vec<(String, Vec<usize>)> = vec![
            (
                "model.embed_tokens.weight".to_owned(),
                vec![self.number("vocab_size"), hidden],
            ),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ];
        if self.config["tie_word_embeddings"] == false {
            shapes.push((
                "lm_head.weight".to_owned(),
                vec![self.number("vocab_size"), hidden],
            ));
        }
        for layer in 0..self.number("num_hidden_layers") {
            let mut add = |name: &str, shape: &[usize]| {
                shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            add("input_layernorm.weight", &[hidden]);
            add("post_attention_layernorm.weight", &[hidden]);
            if is(&["gemma2", "gemma3_text"]) {
                add("pre_feedforward_layernorm.weight", &[hidden]);
                add("post_feedforward_layernorm.weight", &[hidden]);
            }
            if is(&["qwen3", "gemma3_text"]) {
                add("self_attn.q_norm.weight", &[head]);
                add("self_attn.k_norm.weight", &[head]);
            }
            for (part, rows, columns) in [
                ("self_attn.q_proj", query, hidden),
                ("self_attn.k_proj", kv, hidden),
                ("self_attn.v_proj", kv, hidden),
                ("self_attn.o_proj", hidden, query),
                ("mlp.gate_proj", inner, hidden),
                ("mlp.up_proj", inner, hidden),
                ("mlp.down_proj", hidden, inner),
            ] {
                add(&format!("{part}.weight"), &[rows, columns]);
                let is_qwen2 = self.kind() == "qwen2"
                    && part.starts_with("self_attn")
                    && !part.contains("o_proj");
                let field = if part.starts_with("mlp") {
                    "mlp_bias"
                } else {
                    "attention_bias"
                };
                if is_qwen2 || has_bias(field) {
                    add(&format!("{part}.bias"), &[rows]);
                }
            }
        }
        let weight = |(name, shape): (String, Vec<usize>)| {
            let values = values_of(&name, shape.iter().product(), self.is_gemma());
            Weight {
                name,
                shape,
                values,
            }
        };
        shapes.into_iter().map(weight).collect()
    }

    /// Writes a directory as the transformers library does.
    pub(crate) fn write_directory(&self, directory: &Path) {
        self.write_small_files(directory);
        fs::write(
            directory.join("model.safetensors"),
            safetensors(&self.weights()),
        )
        .expect("written");
    }

    /// The same with its weights in several files and an index.
    pub(crate) fn write_shards(&self, directory: &Path) {
        self.write_small_files(directory);
        let weights = self.weights();
        let half = weights.len() / 2;
        let mut places = BTreeMap::new();
        for (number, part) in [&weights[..half], &weights[half..]].into_iter().enumerate() {
            let name = format!("model-0000{}-of-00002.safetensors", number + 1);
            fs::write(directory.join(&name), safetensors(part)).expect("written");
            places.extend(
                part.iter()
                    .map(|weight| (weight.name.clone(), name.clone())),
            );
        }
        let index = json!({"metadata": {"total_size": 0}, "weight_map": places});
        fs::write(
            directory.join("model.safetensors.index.json"),
            index.to_string(),
        )
        .expect("written");
    }

    fn write_small_files(&self, directory: &Path) {
        fs::create_dir_all(directory).expect("created");
        fs::write(directory.join("config.json"), self.config.to_string()).expect("written");
        fs::write(
            directory.join("tokenizer.json"),
            tokenizer_json().to_string(),
        )
        .expect("written");
        let tokenizer_config = json!({
            "bos_token": "<|im_start|>",
            "eos_token": {"content": "<|im_end|>", "special": true},
            "chat_template": "{{ messages[0]['content'] }}",
        });
        fs::write(
            directory.join("tokenizer_config.json"),
            tokenizer_config.to_string(),
        )
        .expect("written");
    }

    /// The same model as GGUF has it, where GGUF has the family.
    pub(crate) fn to_gguf(&self) -> Option<GgufWriter> {
        let kind = match self.kind() {
            "gemma3_text" => "gemma3",
            // A llama there, without windows.
            "mistral" => return None,
            other => other,
        };
        let mut file = GgufWriter::default();
        file.set("general.architecture", kind);
        file.set("general.name", "tiny");
        self.add_numbers(&mut file, kind);
        add_tokenizer(&mut file);
        for weight in self.weights() {
            file.tensors.push(self.gguf_tensor(weight, kind));
        }
        if self.config["rope_parameters"]["rope_type"] == "llama3" {
            file.tensors.push(float_tensor(
                "rope_freqs.weight",
                &[8],
                &self.llama3_factors(),
            ));
        }
        Some(file)
    }

    fn add_numbers(&self, file: &mut GgufWriter, kind: &str) {
        let mut set = |name: &str, value: Entry| file.set(&format!("{kind}.{name}"), value);
        for (name, field) in [
            ("block_count", "num_hidden_layers"),
            ("context_length", "max_position_embeddings"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("attention.head_count", "num_attention_heads"),
            ("attention.head_count_kv", "num_key_value_heads"),
            ("attention.key_length", "head_dim"),
            ("attention.value_length", "head_dim"),
        ] {
            set(
                name,
                Entry::U32(u32::try_from(self.number(field)).expect("small")),
            );
        }
        set("attention.layer_norm_rms_epsilon", Entry::F32(1e-5));
        if kind == "gemma2" || kind == "gemma3" {
            set("attention.sliding_window", Entry::U32(6));
        }
        if kind == "gemma2" {
            set("attn_logit_softcapping", Entry::F32(2.0));
            set("final_logit_softcapping", Entry::F32(5.0));
        }
        let rope = &self.config["rope_parameters"];
        let rope = rope.get("full_attention").unwrap_or(rope);
        set("rope.freq_base", Entry::F32(to_f32(&rope["rope_theta"])));
        if rope["rope_type"] == "linear" {
            set("rope.scaling.type", Entry::from("linear"));
            set("rope.scaling.factor", Entry::F32(to_f32(&rope["factor"])));
        }
    }

    fn gguf_tensor(&self, weight: Weight, kind: &str) -> Tensor {
        let Weight {
            name,
            shape,
            mut values,
        } = weight;
        if self.is_gemma() && name.contains("norm") {
            for value in &mut values {
                *value += 1.0;
            }
        }
        let is_rotated = name.contains("q_proj") || name.contains("k_proj");
        if kind == "llama" && is_rotated {
            values = interleaved(
                &values,
                self.number("head_dim"),
                shape.get(1).copied().unwrap_or(1),
            );
        }
        float_tensor(&gguf_name(&name, kind), &shape, &values)
    }

    /// What slows each pair of a head's values, by the formula of the model's authors.
    fn llama3_factors(&self) -> Vec<f32> {
        let rope = &self.config["rope_parameters"];
        let number = |field: &str| f64::from(to_f32(&rope[field]));
        let (factor, low, high) = (
            number("factor"),
            number("low_freq_factor"),
            number("high_freq_factor"),
        );
        let context = number("original_max_position_embeddings");
        let factor_of = |pair: u8| {
            let frequency = number("rope_theta").powf(-2.0 * f64::from(pair) / 16.0);
            let length = std::f64::consts::TAU / frequency;
            if length < context / high {
                1.0
            } else if length > context / low {
                factor
            } else {
                let smooth = (context / length - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the file holds 32 bit floats"
        )]
        (0..8).map(|pair| factor_of(pair) as f32).collect()
    }
}

/// Xorshift from a hash of the name.
fn values_of(name: &str, count: usize, is_centred_norm: bool) -> Vec<f32> {
    let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let offset = if name.contains("norm") && !is_centred_norm {
        1.0
    } else {
        0.0
    };
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = u8::try_from(state >> 56).expect("8 bits are left");
        (f32::from(byte) - 128.0) / 512.0 + offset
    };
    (0..count).map(|_| next()).collect()
}

/// A file of 32 bit floats.
pub(crate) fn safetensors(weights: &[Weight]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut data = Vec::new();
    for weight in weights {
        let start = data.len();
        data.extend(weight.values.iter().flat_map(|value| value.to_le_bytes()));
        let entry =
            json!({"dtype": "F32", "shape": weight.shape, "data_offsets": [start, data.len()]});
        header.insert(weight.name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.extend(data);
    bytes
}

fn float_tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        name: name.to_owned(),
        dimensions: shape.iter().map(|&size| size as u64).collect(),
        kind: F32,
        data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    }
}

/// Puts the two halves of each head's rows between each other.
fn interleaved(values: &[f32], head_size: usize, columns: usize) -> Vec<f32> {
    let head = |head: &[f32]| -> Vec<f32> {
        let row = |index: usize| &head[index * columns..(index + 1) * columns];
        (0..head_size / 2)
            .flat_map(|pair| [row(pair), row(pair + head_size / 2)].concat())
            .collect()
    };
    values
        .chunks_exact(head_size * columns)
        .flat_map(head)
        .collect()
}

fn gguf_name(name: &str, kind: &str) -> String {
    let Some(rest) = name.strip_prefix("model.layers.") else {
        return match name {
            "model.embed_tokens.weight" => "token_embd.weight",
            "model.norm.weight" => "output_norm.weight",
            _ => "output.weight",
        }
        .to_owned();
    };
    let (layer, rest) = rest.split_once('.').expect("a layer");
    let (part, suffix) = rest.rsplit_once('.').expect("a suffix");
    let has_output_norms = kind == "gemma2" || kind == "gemma3";
    let part = match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if has_output_norms => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        _ => "ffn_down",
    };
    format!("blk.{layer}.{part}.{suffix}")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the file holds 32 bit floats"
)]
fn to_f32(value: &Value) -> f32 {
    value.as_f64().expect("a number") as f32
}
