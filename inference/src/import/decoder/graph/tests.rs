use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    import::{
        decoder::ModelConfig,
        gguf::{TensorInfo, TensorType},
    },
    session::rewrite,
};

pub(crate) const VOCABULARY: usize = 40;

/// Weights that follow from their names.
struct ByName(Vec<TensorInfo>);

impl Weights for ByName {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, WeightsError> {
        let seed = tensor.name.bytes().fold(1_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let count = tensor.dimensions.iter().product::<usize>();
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(f32::from((*state >> 24) as u8) / 512.0 - 0.25)
        };
        let numbers = std::iter::repeat_n((), count).scan(seed, |state, ()| next(state));
        Ok(numbers.flat_map(f32::to_le_bytes).collect())
    }
}

/// A family's smallest model in a folder.
pub(crate) fn write(family: &str, quantization: Quantization) -> TempDir {
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, 64]),
        ("model.norm.weight".to_owned(), vec![64]),
        (layer("input_layernorm"), vec![64]),
        (layer("post_attention_layernorm"), vec![64]),
        (layer("self_attn.q_proj"), vec![64, 64]),
        (layer("self_attn.k_proj"), vec![32, 64]),
        (layer("self_attn.v_proj"), vec![32, 64]),
        (layer("self_attn.o_proj"), vec![64, 64]),
        (layer("mlp.gate_proj"), vec![96, 64]),
        (layer("mlp.up_proj"), vec![96, 64]),
        (layer("mlp.down_proj"), vec![64, 96]),
    ];
    if family == "gemma2" {
        shapes.push((layer("pre_feedforward_layernorm"), vec![64]));
        shapes.push((layer("post_feedforward_layernorm"), vec![64]));
    }
    let tensor = |(name, dimensions): (String, Vec<usize>)| TensorInfo {
        byte_length: 4 * dimensions.iter().product::<usize>() as u64,
        name,
        dimensions,
        kind: TensorType::F32,
        file_offset: 0,
    };
    let mut weights = ByName(shapes.into_iter().map(tensor).collect());
    let mut config = json!({
        "model_type": family, "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    });
    if family == "gemma2" {
        config["final_logit_softcapping"] = Value::from(30.0);
    }
    let config: ModelConfig = serde_json::from_value(config).expect("a description");
    let decoder = Decoder::from_config(&config).expect("a family");
    let folder = tempfile::tempdir().expect("a folder");
    write_graph(
        &mut weights,
        &decoder,
        quantization,
        folder.path(),
        &mut |_| {},
    )
    .expect("written");
    folder
}

#[test]
fn our_attention_knows_the_graphs_that_we_write() {
    let folder = write("llama", Quantization::None);
    let rewritten = rewrite(&folder.path().join(GRAPH_FILE)).expect("rewritten");
    assert!(rewritten.has_own_attention);
}
