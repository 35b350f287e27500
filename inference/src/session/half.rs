//! Makes a decoder's graph one of 16 bit floats, for GPUs: their attention knows no others, and everything else is twice as
//! fast.
//!
//! Weights are converted while the graph is loaded. Logits stay 32 bit floats.

use std::path::Path;

use half::{bf16, f16};
use prost::Message as _;

use crate::import::onnx::{
    CONTRIB, ElementType, Operator, STANDARD, Setting,
    message::{EXTERNAL, Graph, Model, Node, Tensor, TypeValue, ValueInfo},
    node,
};

const LOGITS: &str = "logits";
const HALF_LOGITS: &str = "logits.half";
const ATTENTION: &str = "GroupQueryAttention";
/// What is known to take 16 bit floats, and to give what it takes.
const KNOWN: [(&str, &[&str]); 2] = [
    (
        STANDARD,
        &[
            "Add",
            "Div",
            "Gather",
            "GatherND",
            "Gelu",
            "MatMul",
            "Mul",
            "Reshape",
            "Sigmoid",
            "SimplifiedLayerNormalization",
            "Split",
            "Tanh",
            "Transpose",
            "Unsqueeze",
        ],
    ),
    (
        CONTRIB,
        &[
            "GatherBlockQuantized",
            ATTENTION,
            "MatMulNBits",
            "SkipSimplifiedLayerNormalization",
        ],
    ),
];
/// What GPUs do not do with the wide kind of 16 bits.
const NARROW: [&str; 3] = ["Gelu", "Sigmoid", "Tanh"];

/// The graph in 16 bits, or none where we do not know all that is in it.
pub(super) fn rewrite(graph: &Path) -> Option<Vec<u8>> {
    let mut model = Model::read(graph)?;
    let graph = model.graph.as_mut()?;
    convert(graph).then(|| model.encode_to_vec())
}

/// Whether it was converted.
fn convert(graph: &mut Graph) -> bool {
    let is_known = |node: &Node| {
        let mut known = KNOWN.iter();
        known.any(|(domain, kinds)| node.domain == *domain && kinds.contains(&node.kind.as_str()))
    };
    if !graph.nodes.iter().all(is_known) || !graph.nodes.iter().any(|one| one.kind == ATTENTION) {
        return false;
    }
    // Values of the Gemma models are too large for the usual kind.
    let element = if graph.name.starts_with("gemma") {
        ElementType::BFloat16
    } else {
        ElementType::Float16
    };
    let mut nodes = convert_constants(graph, element);
    let values = graph.inputs.iter_mut().chain(&mut graph.outputs);
    for value in values.filter(|value| value.name != LOGITS) {
        convert_value(value, element);
    }
    for mut node in graph.nodes.drain(..) {
        let gives_logits = node.outputs.first().is_some_and(|name| name == LOGITS);
        if gives_logits {
            rename_output(&mut node, HALF_LOGITS);
        }
        if element == ElementType::BFloat16 && NARROW.contains(&node.kind.as_str()) {
            nodes.extend(in_floats(node, element));
        } else {
            nodes.push(node);
        }
        if gives_logits {
            nodes.push(cast(HALF_LOGITS, LOGITS, ElementType::Float));
        }
    }
    graph.nodes = nodes;
    true
}

/// Small constants become what they are to be, large ones keep their place in the file: the operators that convert them are
/// returned.
fn convert_constants(graph: &mut Graph, element: ElementType) -> Vec<Node> {
    let mut casts = Vec::new();
    let floats = graph.constants.iter_mut();
    for constant in floats.filter(|one| one.element_type == ElementType::Float.number()) {
        if constant.data_location == EXTERNAL {
            let name = format!("{}.float", constant.name);
            casts.push(cast(&name, &constant.name, element));
            constant.name = name;
        } else {
            convert_constant(constant, element);
        }
    }
    casts
}

fn convert_constant(constant: &mut Tensor, element: ElementType) {
    let numbers = constant.raw_data.as_chunks::<4>().0.iter();
    let numbers = numbers.map(|bytes| f32::from_le_bytes(*bytes));
    constant.raw_data = if element == ElementType::BFloat16 {
        numbers
            .flat_map(|number| bf16::from_f32(number).to_le_bytes())
            .collect()
    } else {
        numbers
            .flat_map(|number| f16::from_f32(number).to_le_bytes())
            .collect()
    };
    constant.element_type = element.number();
}

fn convert_value(value: &mut ValueInfo, element: ElementType) {
    let kind = value.kind.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(TypeValue::Tensor(tensor)) = kind
        && tensor.element_type == ElementType::Float.number()
    {
        tensor.element_type = element.number();
    }
}

/// An operator of one input and one output that goes on computing in 32 bits.
fn in_floats(mut node: Node, element: ElementType) -> [Node; 3] {
    let (input, output) = (node.inputs[0].clone(), node.outputs[0].clone());
    let (wide, computed) = (format!("{output}.wide"), format!("{output}.computed"));
    node.inputs[0].clone_from(&wide);
    rename_output(&mut node, &computed);
    [
        cast(&input, &wide, ElementType::Float),
        node,
        cast(&computed, &output, element),
    ]
}

/// Operators have the names of their outputs, and each its own.
fn rename_output(node: &mut Node, name: &str) {
    name.clone_into(&mut node.outputs[0]);
    name.clone_into(&mut node.name);
}

fn cast(from: &str, to: &str, element: ElementType) -> Node {
    node(&Operator {
        kind: "Cast",
        domain: STANDARD,
        inputs: &[from],
        outputs: &[to],
        settings: &[("to", Setting::Int(element.number().into()))],
    })
}

#[cfg(test)]
mod tests;
