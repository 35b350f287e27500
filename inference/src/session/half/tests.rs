use std::num::NonZero;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    decoder::{Decoder as _, Step},
    device::Device,
    import::{
        decoder::{Decoder, GRAPH_FILE, ModelConfig, write_graph},
        gguf::{TensorInfo, TensorType},
        weights::{Weights, WeightsError},
    },
    kv_cache::KvShape,
    model_dir::Quantization,
    session::{Graph as Loaded, SessionOptions, placement, runtime::tests::has_runtime},
};

const TOKENS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 35, 8, 9];
const VOCABULARY: usize = 40;

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
fn write(family: &str, quantization: Quantization) -> TempDir {
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

fn load(graph: &Path, quantization: Quantization) -> Loaded {
    let options = SessionOptions {
        device: Device::Cpu,
        threads: Some(NonZero::<usize>::MIN),
        context_length: 64,
    };
    let (session, placement) = placement::open(graph, options).expect("opened");
    let shape = KvShape {
        layers: 1,
        heads: 2,
        head_size: 16,
        context_length: 64,
        number_bytes: 4,
    };
    let opened = (session, placement, placement::Own::default());
    Loaded::new(opened, shape, VOCABULARY, quantization).expect("loaded")
}

/// The logits after the first tokens, then after one more.
fn logits(graph: &mut Loaded) -> Vec<f32> {
    let mut cache = graph.allocate(1, 64).expect("memory");
    let (last, first) = TOKENS.split_last().expect("tokens");
    let mut logits = graph
        .extend(&mut cache, 0, first, 1)
        .expect("logits")
        .to_vec();
    let step = Step {
        row: 0,
        token: *last,
        past: first.len(),
    };
    logits.extend(graph.step(&mut cache, &[step]).expect("logits"));
    logits
}

#[rstest::rstest]
#[case(Quantization::None)]
#[case(Quantization::Int8)]
fn sixteen_bits_give_nearly_the_same_logits(#[case] quantization: Quantization) {
    let folder = write("llama", quantization);
    let path = folder.path().join(GRAPH_FILE);
    let model = rewrite(&path).expect("known");
    if !has_runtime() {
        return;
    }
    let narrow = folder.path().join("half.onnx");
    std::fs::write(&narrow, model).expect("written");
    let mut exact = load(&path, quantization);
    let mut narrow = load(&narrow, quantization);
    assert_eq!(narrow.shape().number_bytes, 2);
    assert_eq!(narrow.shape().bytes(512) * 2, exact.shape().bytes(512));
    let (expected, found) = (logits(&mut exact), logits(&mut narrow));
    let largest = expected
        .iter()
        .fold(0.0, |most: f32, logit| most.max(logit.abs()));
    let pairs = expected.iter().zip(&found);
    let error = pairs.fold(0.0, |most: f32, (one, other)| most.max((one - other).abs()));
    assert!(error > 0.0, "the same bits are no 16 bits");
    assert!(error < largest / 100.0, "{error} of {largest}");
}

#[test]
fn a_gemma_has_the_wide_kind_but_where_gpus_do_not_know_it() {
    let folder = write("gemma2", Quantization::None);
    let bytes = rewrite(&folder.path().join(GRAPH_FILE)).expect("known");
    let graph = Model::decode(bytes.as_slice()).expect("a model").graph;
    let graph = graph.expect("a graph");
    let wide = i64::from(ElementType::BFloat16.number());
    let casts_to = |name: &String, number: i64| {
        graph.nodes.iter().any(|node| {
            let is_cast = node.kind == "Cast" && node.attributes[0].int == number;
            is_cast && (node.outputs[0] == *name || node.inputs[0] == *name)
        })
    };
    for node in graph
        .nodes
        .iter()
        .filter(|node| NARROW.contains(&node.kind.as_str()))
    {
        assert!(casts_to(&node.inputs[0], 1), "{node:?}");
        assert!(casts_to(&node.outputs[0], wide), "{node:?}");
    }
    assert!(graph.nodes.iter().any(|node| node.kind == "Tanh"));
    let element = |value: &ValueInfo| {
        let Some(TypeValue::Tensor(tensor)) = value.kind.clone().and_then(|kind| kind.value) else {
            return 0;
        };
        tensor.element_type
    };
    let of = |name: &str| {
        let mut values = graph.inputs.iter().chain(&graph.outputs);
        values.find(|value| value.name == name).map(element)
    };
    assert_eq!(of("past_key_values.0.key"), Some(16));
    assert_eq!(of("present.0.value"), Some(16));
    assert_eq!(of(LOGITS), Some(1));
    assert_eq!(of("input_ids"), Some(7));
    assert!(casts_to(&LOGITS.to_owned(), 1));
}

#[rstest::rstest]
#[case::unknown("Softmax", STANDARD)]
#[case::another_domain("GroupQueryAttention", STANDARD)]
fn a_graph_with_more_than_we_know_stays(#[case] kind: &str, #[case] domain: &str) {
    let known = |kind: &str, domain: &str| Node {
        kind: kind.to_owned(),
        domain: domain.to_owned(),
        ..Node::default()
    };
    let mut graph = Graph {
        nodes: vec![known(ATTENTION, CONTRIB)],
        ..Graph::default()
    };
    assert!(convert(&mut graph.clone()));
    graph.nodes.push(known(kind, domain));
    let before = graph.clone();
    assert!(!convert(&mut graph));
    assert_eq!(graph, before);
}
