//! Puts our operators where a graph of our importer has ONNX Runtime's, and takes the indices of padded rows out of it.

use std::collections::{HashMap, HashSet};

use super::{attention, gelu, norm};
use crate::{
    import::onnx::{
        CONTRIB,
        message::{Graph, Node},
    },
    session::operators::DOMAIN,
};

const LENGTHS: &str = "row_lengths";
/// Inputs that only padding needs.
const PADDING: [&str; 2] = ["padded_index", "token_index"];

/// Puts our operators into a graph of our importer, and tells whether it did. It does where ours know all attention of it.
pub(in super::super) fn replace(graph: &mut Graph) -> bool {
    let has_input = |name: &str| graph.inputs.iter().any(|input| input.name == name);
    if !has_input(LENGTHS) || !PADDING.iter().all(|name| has_input(name)) {
        return false;
    }
    let mut nodes = graph.nodes.clone();
    if !replace_attention(&mut nodes) {
        return false;
    }
    for node in nodes.iter_mut().filter(|node| node.domain == CONTRIB) {
        if node.kind == "BiasGelu" && node.inputs.len() == 2 {
            become_ours(node, gelu::NAME);
        } else if is_plain_norm(node) {
            node.outputs.truncate(1);
            become_ours(node, norm::NAME);
        }
    }
    graph.nodes = nodes;
    let is_padding = |name: &String| PADDING.contains(&name.as_str());
    graph.inputs.retain(|input| !is_padding(&input.name));
    true
}

fn become_ours(node: &mut Node, name: &str) {
    name.clone_into(&mut node.kind);
    DOMAIN.clone_into(&mut node.domain);
}

/// Whether nobody wants what a norm can give besides.
fn is_plain_norm(node: &Node) -> bool {
    let mut others = node.outputs.iter().skip(1);
    let has_epsilon = node.attributes.iter().any(|one| one.name == "epsilon");
    node.kind == "SkipLayerNormalization"
        && matches!(node.inputs.len(), 4 | 5)
        && others.all(String::is_empty)
        && has_epsilon
}

/// Whether all attention is ours now, and nothing needs padding any more.
fn replace_attention(nodes: &mut Vec<Node>) -> bool {
    let found: Option<Vec<Found>> = {
        let places = Places::of(nodes);
        let attention = (0..nodes.len()).filter(|&node| nodes[node].kind == "MultiHeadAttention");
        attention.map(|node| places.around(node)).collect()
    };
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        return false;
    };
    let mut gone = HashSet::new();
    for Found {
        attention,
        joined,
        output,
        others,
    } in found
    {
        let node = &mut nodes[attention];
        node.inputs = vec![joined, node.inputs[3].clone(), LENGTHS.to_owned()];
        node.outputs = vec![output];
        become_ours(node, attention::NAME);
        gone.extend(others);
    }
    let mut number = 0;
    nodes.retain(|_| {
        number += 1;
        !gone.contains(&(number - 1))
    });
    let is_padding = |name: &String| PADDING.contains(&name.as_str());
    !nodes.iter().flat_map(|node| &node.inputs).any(is_padding)
}

/// An attention with what pads its tokens before and takes the padding away behind it.
struct Found {
    attention: usize,
    joined: String,
    output: String,
    others: [usize; 4],
}

/// Who makes a value, and who takes it.
struct Places<'a> {
    nodes: &'a [Node],
    makers: HashMap<&'a str, usize>,
    takers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Places<'a> {
    fn of(nodes: &'a [Node]) -> Self {
        let (mut makers, mut takers) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (number, node) in nodes.iter().enumerate() {
            makers.extend(node.outputs.iter().map(|name| (name.as_str(), number)));
            for name in &node.inputs {
                takers.entry(name.as_str()).or_default().push(number);
            }
        }
        Self {
            nodes,
            makers,
            takers,
        }
    }

    fn around(&self, attention: usize) -> Option<Found> {
        let node = &self.nodes[attention];
        let is_plain = node.domain == CONTRIB
            && node.attributes.iter().all(|one| one.name == "num_heads")
            && node.inputs.len() == 5
            && node.inputs[4] == LENGTHS;
        let split = self.maker(node.inputs.first()?, "Split")?;
        let padded = self.maker(self.nodes[split].inputs.first()?, "Gather")?;
        let flat = self.only_taker(node.outputs.first()?, "Reshape")?;
        let context = self.only_taker(self.nodes[flat].outputs.first()?, "Gather")?;
        let is_known = is_plain
            && self.nodes[split].outputs == node.inputs[..3]
            && self.nodes[padded].inputs.get(1)? == PADDING[0]
            && self.nodes[context].inputs.get(1)? == PADDING[1];
        is_known.then(|| Found {
            attention,
            joined: self.nodes[padded].inputs[0].clone(),
            output: self.nodes[context].outputs[0].clone(),
            others: [split, padded, flat, context],
        })
    }

    fn maker(&self, value: &str, kind: &str) -> Option<usize> {
        let maker = *self.makers.get(value)?;
        (self.nodes[maker].kind == kind).then_some(maker)
    }

    fn only_taker(&self, value: &str, kind: &str) -> Option<usize> {
        match self.takers.get(value)?.as_slice() {
            [taker] if self.nodes[*taker].kind == kind => Some(*taker),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::import::onnx::{Operator, STANDARD, Setting, message::ValueInfo, node};

    fn operator(
        kind: &str,
        domain: &str,
        inputs: &[&str],
        outputs: &[&str],
        settings: &[(&str, Setting)],
    ) -> Node {
        node(&Operator {
            kind,
            domain,
            inputs,
            outputs,
            settings,
        })
    }

    /// One layer, as our importer writes it.
    fn layer() -> Graph {
        let heads = [("num_heads", Setting::Int(2))];
        let epsilon = [("epsilon", Setting::Float(1e-5))];
        let standard = |kind, inputs: &[&str], outputs: &[&str]| {
            operator(kind, STANDARD, inputs, outputs, &[])
        };
        let attention = ["q", "k", "v", "bias", LENGTHS];
        let value = |name: &str| ValueInfo {
            name: name.to_owned(),
            kind: None,
        };
        Graph {
            nodes: vec![
                standard("MatMul", &["x", "w"], &["joined"]),
                standard("Gather", &["joined", "padded_index"], &["padded"]),
                standard("Split", &["padded"], &["q", "k", "v"]),
                operator(
                    "MultiHeadAttention",
                    CONTRIB,
                    &attention,
                    &["attended"],
                    &heads,
                ),
                standard("Reshape", &["attended", "shape"], &["flat"]),
                standard("Gather", &["flat", "token_index"], &["context"]),
                operator(
                    "SkipLayerNormalization",
                    CONTRIB,
                    &["context", "x", "g", "b"],
                    &["normed"],
                    &epsilon,
                ),
                operator("BiasGelu", CONTRIB, &["normed", "c"], &["bent"], &[]),
            ],
            inputs: ["x", LENGTHS, "padded_index", "token_index"]
                .map(value)
                .to_vec(),
            ..Graph::default()
        }
    }

    #[test]
    fn a_layer_of_our_importer_becomes_ours() {
        let mut graph = layer();
        assert!(replace(&mut graph));
        let kinds: Vec<&str> = graph.nodes.iter().map(|node| node.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["MatMul", "TextAttention", "AddLayerNorm", "BiasGelu"]
        );
        assert!(graph.nodes[1..].iter().all(|node| node.domain == DOMAIN));
        assert_eq!(graph.nodes[1].inputs, ["joined", "bias", LENGTHS]);
        assert_eq!(graph.nodes[1].outputs, ["context"]);
        let inputs: Vec<&str> = graph
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        assert_eq!(inputs, ["x", LENGTHS]);
    }

    #[rstest]
    #[case::a_mask(3, |node: &mut Node| node.inputs[4] = "mask".to_owned())]
    #[case::a_scale(3, |node: &mut Node| node.attributes[0].name = "scale".to_owned())]
    #[case::other_parts(2, |node: &mut Node| node.outputs.swap(0, 1))]
    #[case::other_padding(1, |node: &mut Node| node.inputs[1] = "other".to_owned())]
    #[case::another_behind(5, |node: &mut Node| node.inputs[0] = "attended".to_owned())]
    #[case::padding_elsewhere(0, |node: &mut Node| node.inputs[1] = "padded_index".to_owned())]
    fn others_stay(#[case] number: usize, #[case] change: fn(&mut Node)) {
        let mut graph = layer();
        change(&mut graph.nodes[number]);
        let before = graph.clone();
        assert!(!replace(&mut graph));
        assert_eq!(graph, before);
    }

    #[test]
    fn a_norm_of_which_more_is_wanted_stays() {
        let mut graph = layer();
        graph.nodes[6]
            .outputs
            .extend(["", "", "sum"].map(str::to_owned));
        assert!(replace(&mut graph));
        assert_eq!(graph.nodes[2].kind, "SkipLayerNormalization");
    }
}
