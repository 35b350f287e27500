use std::num::NonZero;

use super::*;
use crate::{
    decoder::{Decoder as _, Step},
    device::Device,
    import::decoder::{
        GRAPH_FILE,
        fixture::{VOCABULARY, write},
    },
    kv_cache::KvShape,
    model_dir::Quantization,
    session::{Graph as Loaded, SessionOptions, placement, runtime::tests::has_runtime},
};

const TOKENS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 35, 8, 9];

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
