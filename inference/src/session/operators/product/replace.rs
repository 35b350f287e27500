//! Marks each `MatMulNBits` that a step of ours can compute, and takes its weights out of the graph.

use std::collections::{HashMap, HashSet};

use super::{
    panels::Size,
    weights::{Source, Weights},
};
use crate::{
    import::onnx::{
        CONTRIB, ElementType, Setting, attribute,
        message::{Graph, Node, Tensor},
    },
    session::operators::DOMAIN,
};

/// A product of ours, until a chain takes it in.
const NAME: &str = "Int8MatMul";
/// The attribute that says which of the weights are a product's.
const PRODUCT: &str = "product";
const REPLACED: &str = "MatMulNBits";
const RESHAPE: &str = "Reshape";
/// The level of accuracy at which inputs are rounded to 8 bits, too.
const INT8_ACCURACY: i64 = 4;

/// The number of the weights of a node that [`replace()`] has marked.
pub(in super::super) fn node(node: &Node) -> Option<usize> {
    let is_ours = node.kind == NAME && node.domain == DOMAIN;
    let number = node.attributes.iter().find(|one| one.name == PRODUCT)?;
    usize::try_from(number.int).ok().filter(|_| is_ours)
}

/// Makes ours of what we know, without weights as inputs, and returns the weights: those of a node have the number that
/// [`node()`] tells.
pub(in super::super) fn replace(graph: &mut Graph) -> Vec<Weights> {
    let constants = graph.constants.iter();
    let constants: HashMap<_, _> = constants
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    // A head that is the embedding, too, has its weights from there, in other dimensions, which do not matter to ours.
    let reshapes = graph.nodes.iter().filter(|node| node.kind == RESHAPE);
    let sources: HashMap<_, _> = reshapes
        .filter_map(|node| Some((node.outputs.first()?.clone(), node.inputs.first()?.clone())))
        .collect();
    let (mut weights, mut gone) = (Vec::new(), HashSet::new());
    for node in &mut graph.nodes {
        let constant = |name: &String| {
            let name = sources.get(name).unwrap_or(name);
            constants.get(name.as_str()).copied()
        };
        let Some(found) = weights_of(node, constant) else {
            continue;
        };
        let names = node.inputs.drain(1..);
        gone.extend(
            names
                .flat_map(|name| [sources.get(&name).cloned(), Some(name)])
                .flatten(),
        );
        let number = i64::try_from(weights.len()).unwrap_or(i64::MAX);
        node.attributes
            .push(attribute(PRODUCT, Setting::Int(number)));
        NAME.clone_into(&mut node.kind);
        DOMAIN.clone_into(&mut node.domain);
        weights.push(found);
    }
    // Reshapes first: they need the constants.
    let needed = needed(graph);
    let is_for_nothing = |name: &String| gone.contains(name) && !needed.contains(name);
    graph
        .nodes
        .retain(|node| node.kind != RESHAPE || !node.outputs.iter().all(is_for_nothing));
    let needed = self::needed(graph);
    let is_for_nothing = |name: &String| gone.contains(name) && !needed.contains(name);
    graph
        .constants
        .retain(|tensor| !is_for_nothing(&tensor.name));
    weights
}

/// All that somebody takes.
pub(in super::super) fn needed(graph: &Graph) -> HashSet<String> {
    let inputs = graph.nodes.iter().flat_map(|node| &node.inputs);
    let outputs = graph.outputs.iter().map(|output| &output.name);
    inputs.chain(outputs).cloned().collect()
}

/// The weights of a product that ours can take the place of.
fn weights_of<'a>(
    node: &Node,
    constant: impl Fn(&String) -> Option<&'a Tensor>,
) -> Option<Weights> {
    let number = |name: &str| {
        let attribute = node.attributes.iter().find(|one| one.name == name);
        attribute.map_or(0, |attribute| attribute.int)
    };
    let [outputs, inputs, block] =
        ["N", "K", "block_size"].map(|name| usize::try_from(number(name)).unwrap_or(0));
    let fits = outputs > 0
        && inputs > 0
        && block.is_multiple_of(16)
        && (16..=256).contains(&block)
        && inputs.is_multiple_of(block);
    let is_ours = node.kind == REPLACED
        && node.domain == CONTRIB
        && number("bits") == 8
        && number("accuracy_level") == INT8_ACCURACY;
    // A block's order and a bias, for two, make more inputs.
    if !fits || !is_ours || !(3..=4).contains(&node.inputs.len()) {
        return None;
    }
    // Not all of them are written as this specification has them: the sizes must agree, whatever the dimensions.
    let source = |index: usize, element: ElementType, size: usize, length: usize| {
        let tensor = constant(node.inputs.get(index)?)?;
        Source::of_elements(tensor, element, size, length)
    };
    let blocks = outputs * (inputs / block);
    Some(Weights {
        size: Size {
            outputs,
            inputs,
            block,
        },
        values: source(1, ElementType::Uint8, 1, outputs * inputs)?,
        scales: source(2, ElementType::Float, size_of::<f32>(), blocks)?,
        zero_points: if node.inputs.len() == 4 {
            Some(source(3, ElementType::Uint8, 1, blocks)?)
        } else {
            None
        },
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn constant(name: &str, element: ElementType, dimensions: &[i64]) -> Tensor {
        let size = if element == ElementType::Float { 4 } else { 1 };
        let length = size * usize::try_from(dimensions.iter().product::<i64>()).expect("few");
        Tensor {
            name: name.to_owned(),
            element_type: element.number(),
            dimensions: dimensions.to_vec(),
            raw_data: name.bytes().cycle().take(length).collect(),
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
        let setting = |(name, int): (&str, i64)| {
            let changed = changed.iter().find(|(other, _)| *other == name);
            attribute(name, Setting::Int(changed.map_or(int, |(_, int)| *int)))
        };
        Graph {
            nodes: vec![Node {
                inputs: inputs.iter().copied().map(str::to_owned).collect(),
                outputs: vec!["products".to_owned()],
                kind: REPLACED.to_owned(),
                domain: CONTRIB.to_owned(),
                attributes: plain.map(setting).to_vec(),
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

    fn names(graph: &Graph) -> Vec<&str> {
        let names = graph.constants.iter().map(|tensor| tensor.name.as_str());
        names.collect()
    }

    fn bytes(name: &str, length: usize) -> Source {
        Source::Graph(name.bytes().cycle().take(length).collect())
    }

    #[rstest]
    #[case::without_zero_points(&["x", "weights", "scales"], &["flat_scales", "zeros", "float_zeros"])]
    #[case::with_zero_points(&["x", "weights", "scales", "zeros"], &["flat_scales", "float_zeros"])]
    #[case::with_flat_scales(&["x", "weights", "flat_scales", "zeros"], &["scales", "float_zeros"])]
    fn known_ones_become_ours(#[case] inputs: &[&str], #[case] left: &[&str]) {
        let mut graph = product(&[], inputs);
        let weights = replace(&mut graph);
        let [weights] = weights.as_slice() else {
            unreachable!("{weights:?}")
        };
        let size = Size {
            outputs: 6,
            inputs: 64,
            block: 32,
        };
        assert_eq!(weights.size, size);
        assert_eq!(weights.values, bytes("weights", 384));
        assert_eq!(weights.scales, bytes(inputs[2], 48));
        let zero_points = inputs.get(3).map(|name| bytes(name, 12));
        assert_eq!(weights.zero_points, zero_points);
        let node = &graph.nodes[0];
        assert_eq!((node.kind.as_str(), node.domain.as_str()), (NAME, DOMAIN));
        assert_eq!(node.inputs, ["x"]);
        assert_eq!(self::node(node), Some(0));
        assert_eq!(names(&graph), left);
    }

    #[test]
    fn weights_are_found_in_other_dimensions_and_stay_where_others_need_them() {
        let mut graph = product(&[], &["x", "reshaped", "scales"]);
        let reshape = |input: &str, output: &str| Node {
            inputs: [input, "shape"].map(str::to_owned).to_vec(),
            outputs: vec![output.to_owned()],
            kind: RESHAPE.to_owned(),
            ..Node::default()
        };
        let another = Node {
            inputs: ["needed", "scales"].map(str::to_owned).to_vec(),
            ..Node::default()
        };
        let more = [
            reshape("weights", "reshaped"),
            reshape("zeros", "needed"),
            another.clone(),
        ];
        graph.nodes.extend(more);
        let weights = replace(&mut graph);
        assert_eq!(weights[0].values, bytes("weights", 384));
        assert_eq!(graph.nodes[1..], [reshape("zeros", "needed"), another]);
        assert_eq!(
            names(&graph),
            ["scales", "flat_scales", "zeros", "float_zeros"]
        );
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
        assert_eq!(replace(&mut graph), []);
        assert_eq!(graph, before);
    }
}
