use super::*;
use crate::{
    import::{
        decoder::ModelConfig,
        gguf::{TensorInfo, TensorType},
    },
    session::rewrite,
};

/// A model without a thought in it.
struct Zeros(Vec<TensorInfo>);

impl Weights for Zeros {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, WeightsError> {
        Ok(vec![0; 4 * tensor.dimensions.iter().product::<usize>()])
    }
}

fn zeros(shapes: &[(&str, &[usize])]) -> Zeros {
    let tensor = |(name, shape): &(&str, &[usize])| TensorInfo {
        name: (*name).to_owned(),
        dimensions: shape.to_vec(),
        kind: TensorType::F32,
        file_offset: 0,
        byte_length: 4 * shape.iter().product::<usize>() as u64,
    };
    Zeros(shapes.iter().map(tensor).collect())
}

#[test]
fn our_attention_knows_the_graphs_that_we_write() {
    let mut weights = zeros(&[
        ("model.embed_tokens.weight", &[40, 64]),
        ("model.norm.weight", &[64]),
        ("model.layers.0.input_layernorm.weight", &[64]),
        ("model.layers.0.post_attention_layernorm.weight", &[64]),
        ("model.layers.0.self_attn.q_proj.weight", &[64, 64]),
        ("model.layers.0.self_attn.k_proj.weight", &[32, 64]),
        ("model.layers.0.self_attn.v_proj.weight", &[32, 64]),
        ("model.layers.0.self_attn.o_proj.weight", &[64, 64]),
        ("model.layers.0.mlp.gate_proj.weight", &[96, 64]),
        ("model.layers.0.mlp.up_proj.weight", &[96, 64]),
        ("model.layers.0.mlp.down_proj.weight", &[64, 96]),
    ]);
    let config = serde_json::json!({
        "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 96,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40, "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
    });
    let config: ModelConfig = serde_json::from_value(config).expect("a description");
    let decoder = Decoder::from_config(&config).expect("a llama");
    let folder = tempfile::tempdir().expect("a folder");
    let quantization = Quantization::None;
    write_graph(
        &mut weights,
        &decoder,
        quantization,
        folder.path(),
        &mut |_| {},
    )
    .expect("written");
    let rewritten = rewrite(&folder.path().join(GRAPH_FILE)).expect("rewritten");
    assert!(rewritten.has_own_attention);
}
