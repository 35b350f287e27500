//! Puts our operator in the place of `MatMulNBits`.

use std::collections::{HashMap, HashSet};

use super::NAME;
use crate::{
    import::onnx::{
        CONTRIB, ElementType,
        message::{Graph, Node, Tensor},
    },
    session::operators::DOMAIN,
};

const REPLACED: &str = "MatMulNBits";
const RESHAPE: &str = "Reshape";
/// The input that the weights are.
const WEIGHTS: usize = 1;
/// The level of accuracy at which inputs are rounded to 8 bits, too.
const INT8_ACCURACY: i64 = 4;

/// Puts our operator in the place of what it knows, and tells how many it replaced.
pub(in super::super) fn replace(graph: &mut Graph) -> usize {
    let constants = graph.constants.iter();
    let constants: HashMap<_, _> = constants
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    // A head that is the embedding, too, has its weights from there, in other dimensions, which do not matter to ours.
    let reshapes = graph.nodes.iter().filter(|node| node.kind == RESHAPE);
    let sources: HashMap<_, _> = reshapes
        .filter_map(|node| Some((node.outputs.first()?.clone(), node.inputs.first()?.clone())))
        .collect();
    let mut count = 0;
    for node in &mut graph.nodes {
        let mut ours = node.clone();
        if let Some(weights) = ours.inputs.get_mut(WEIGHTS)
            && let Some(source) = sources.get(weights)
        {
            weights.clone_from(source);
        }
        if is_known(&ours, &constants) {
            NAME.clone_into(&mut ours.kind);
            DOMAIN.clone_into(&mut ours.domain);
            *node = ours;
            count += 1;
        }
    }
    let needed: HashSet<String> = graph
        .nodes
        .iter()
        .flat_map(|node| node.inputs.clone())
        .collect();
    let outputs = &graph.outputs;
    graph.nodes.retain(|node| {
        let is_needed = |name: &String| {
            needed.contains(name) || outputs.iter().any(|output| output.name == *name)
        };
        node.kind != RESHAPE || node.outputs.iter().any(is_needed)
    });
    count
}

fn is_known(node: &Node, constants: &HashMap<&str, &Tensor>) -> bool {
    let number = |name: &str| {
        let attribute = node.attributes.iter().find(|one| one.name == name);
        attribute.map_or(0, |attribute| attribute.int)
    };
    let [outputs, inputs, block] = ["N", "K", "block_size"].map(number);
    let fits = outputs > 0
        && inputs > 0
        && block % 16 == 0
        && (16..=256).contains(&block)
        && inputs % block == 0;
    // Not all of them are written as this specification has them: the sizes must agree, whatever the dimensions.
    let is_constant = |index: usize, element: ElementType, length: i64| {
        let constant = node
            .inputs
            .get(index)
            .and_then(|name| constants.get(name.as_str()));
        constant.is_some_and(|constant| {
            constant.element_type == element.number()
                && constant.dimensions.iter().product::<i64>() == length
        })
    };
    // A block's order and a bias, for two, make more inputs.
    let is_complete = || match node.inputs.len() {
        3 => true,
        4 => is_constant(3, ElementType::Uint8, outputs * (inputs / block)),
        _ => false,
    };
    node.kind == REPLACED
        && node.domain == CONTRIB
        && number("bits") == 8
        && number("accuracy_level") == INT8_ACCURACY
        && fits
        && is_constant(WEIGHTS, ElementType::Uint8, outputs * inputs)
        && is_constant(2, ElementType::Float, outputs * (inputs / block))
        && is_complete()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::import::onnx::message::{Attribute, AttributeKind};

    fn constant(name: &str, element: ElementType, dimensions: &[i64]) -> Tensor {
        Tensor {
            name: name.to_owned(),
            element_type: element.number(),
            dimensions: dimensions.to_vec(),
            ..Tensor::default()
        }
    }

    /// A product of 64 inputs and 6 outputs.
    fn product(changed: &[(&str, i64)], inputs: &[&str]) -> Graph {
        let plain = [
            ("K", 64),
            ("N", 6),
            ("bits", 8),
            ("block_size", 32),
            ("accuracy_level", INT8_ACCURACY),
        ];
        let attribute = |(name, int): (&str, i64)| {
            let changed = changed.iter().find(|(other, _)| *other == name);
            Attribute {
                name: name.to_owned(),
                int: changed.map_or(int, |(_, int)| *int),
                kind: AttributeKind::Int.into(),
                ..Attribute::default()
            }
        };
        Graph {
            nodes: vec![Node {
                inputs: inputs.iter().copied().map(str::to_owned).collect(),
                outputs: vec!["products".to_owned()],
                kind: REPLACED.to_owned(),
                domain: CONTRIB.to_owned(),
                attributes: plain.map(attribute).to_vec(),
                ..Node::default()
            }],
            constants: vec![
                constant("weights", ElementType::Uint8, &[6, 2, 32]),
                constant("scales", ElementType::Float, &[6, 2]),
                constant("flat_scales", ElementType::Float, &[12]),
                constant("zeros", ElementType::Uint8, &[6, 2]),
                constant("float_zeros", ElementType::Float, &[6, 2]),
            ],
            ..Graph::default()
        }
    }

    #[rstest]
    #[case::without_zero_points(&["x", "weights", "scales"])]
    #[case::with_zero_points(&["x", "weights", "scales", "zeros"])]
    #[case::with_flat_scales(&["x", "weights", "flat_scales", "zeros"])]
    fn known_ones_become_ours(#[case] inputs: &[&str]) {
        let mut graph = product(&[], inputs);
        assert_eq!(replace(&mut graph), 1);
        let node = &graph.nodes[0];
        assert_eq!((node.kind.as_str(), node.domain.as_str()), (NAME, DOMAIN));
        assert_eq!(node.inputs, inputs);
    }

    #[test]
    fn weights_are_found_in_other_dimensions() {
        let mut graph = product(&[], &["x", "reshaped", "scales"]);
        let reshape = |output: &str| Node {
            inputs: ["weights", "shape"].map(str::to_owned).to_vec(),
            outputs: vec![output.to_owned()],
            kind: RESHAPE.to_owned(),
            ..Node::default()
        };
        let another = Node {
            inputs: vec!["needed".to_owned()],
            ..Node::default()
        };
        graph
            .nodes
            .extend([reshape("reshaped"), reshape("needed"), another.clone()]);
        assert_eq!(replace(&mut graph), 1);
        assert_eq!(graph.nodes[0].inputs, ["x", "weights", "scales"]);
        assert_eq!(graph.nodes[1..], [reshape("needed"), another]);
    }

    #[rstest]
    #[case::four_bits(product(&[("bits", 4)], &["x", "weights", "scales"]))]
    #[case::exact_inputs(product(&[("accuracy_level", 0)], &["x", "weights", "scales"]))]
    #[case::a_block_that_is_cut(product(&[("block_size", 48)], &["x", "weights", "scales"]))]
    #[case::blocks_of_another_size(product(&[("block_size", 64)], &["x", "weights", "scales"]))]
    #[case::more_outputs(product(&[("N", 7)], &["x", "weights", "scales"]))]
    #[case::nothing(product(&[("K", 0)], &["x", "weights", "scales"]))]
    #[case::computed_weights(product(&[], &["x", "y", "scales"]))]
    #[case::zero_points_in_floats(product(&[], &["x", "weights", "scales", "float_zeros"]))]
    #[case::another_order(product(&[], &["x", "weights", "scales", "", "order"]))]
    #[case::a_bias(product(&[], &["x", "weights", "scales", "", "", "bias"]))]
    fn others_stay(#[case] mut graph: Graph) {
        let before = graph.clone();
        assert_eq!(replace(&mut graph), 0);
        assert_eq!(graph, before);
    }
}
