//! Puts our operator where a graph has ONNX Runtime's, and takes the caches out of the graph.

use std::collections::HashSet;

use super::{LAYER, NAME};
use crate::{
    import::onnx::{
        CONTRIB, Setting, attribute,
        message::{Attribute, Graph, Node},
    },
    session::operators::DOMAIN,
};

const REPLACED: &str = "GroupQueryAttention";

/// Puts our operator in the place of all attention, takes inputs and outputs for what that knows by itself, caches and
/// lengths, out of the graph, and tells whether it did. It does not where an attention has a form that ours does not know,
/// or where another node needs those inputs.
pub(in super::super) fn replace(graph: &mut Graph) -> bool {
    let mut nodes = graph.nodes.clone();
    let Some(gone) = become_ours(&mut nodes) else {
        return false;
    };
    let is_needed = |node: &Node| node.inputs.iter().any(|name| gone.contains(name));
    if gone.is_empty() || nodes.iter().any(is_needed) {
        return false;
    }
    graph.nodes = nodes;
    graph.inputs.retain(|input| !gone.contains(&input.name));
    graph.outputs.retain(|output| !gone.contains(&output.name));
    true
}

/// The names of what is not needed any more, or none where one stays.
fn become_ours(nodes: &mut [Node]) -> Option<HashSet<String>> {
    let attention = nodes.iter_mut().filter(|node| node.kind == REPLACED);
    let gone: Option<Vec<_>> = attention.map(become_one).collect();
    Some(gone?.into_iter().flatten().collect())
}

/// What is neither an input nor an output of the node any more.
fn become_one(node: &mut Node) -> Option<Vec<String>> {
    if !is_known(node) {
        return None;
    }
    let layer = node.inputs[3]
        .strip_prefix("past_key_values.")?
        .strip_suffix(".key")?;
    let layer = layer.parse().ok()?;
    node.attributes.push(attribute(LAYER, Setting::Int(layer)));
    NAME.clone_into(&mut node.kind);
    DOMAIN.clone_into(&mut node.domain);
    let mut gone: Vec<String> = node.inputs.drain(3..7).collect();
    gone.extend(node.outputs.drain(1..));
    Some(gone)
}

fn is_known(node: &Node) -> bool {
    let is_plain = |attribute: &Attribute| match attribute.name.as_str() {
        "num_heads" | "kv_num_heads" | "scale" => true,
        "do_rotary" => attribute.int == 1,
        "rotary_interleaved" => attribute.int == 0,
        // Caps and windows, for two.
        _ => false,
    };
    let rotates = node
        .attributes
        .iter()
        .any(|attribute| attribute.name == "do_rotary");
    let is_given = |name: &String| !name.is_empty();
    // Keys and values come with the queries or not.
    let is_complete = node.inputs.len() == 9
        && node.outputs.len() == 3
        && node.inputs[3..].iter().chain(&node.outputs).all(is_given)
        && is_given(&node.inputs[1]) == is_given(&node.inputs[2]);
    node.kind == REPLACED
        && node.domain == CONTRIB
        && rotates
        && is_complete
        && node.attributes.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::import::onnx::message::ValueInfo;

    fn attention(attributes: &[(&str, i64)], inputs: &[&str]) -> Node {
        let setting = |(name, int): &(&str, i64)| attribute(name, Setting::Int(*int));
        Node {
            inputs: inputs.iter().copied().map(str::to_owned).collect(),
            outputs: ["out", "present.7.key", "present.7.value"]
                .map(str::to_owned)
                .to_vec(),
            kind: REPLACED.to_owned(),
            domain: CONTRIB.to_owned(),
            attributes: attributes.iter().map(setting).collect(),
            ..Node::default()
        }
    }

    const PACKED: [&str; 9] = [
        "qkv",
        "",
        "",
        "past_key_values.7.key",
        "past_key_values.7.value",
        "seqlens_k",
        "total_sequence_length",
        "cos",
        "sin",
    ];
    const PLAIN: [(&str, i64); 3] = [("num_heads", 4), ("kv_num_heads", 2), ("do_rotary", 1)];

    fn replaced(nodes: Vec<Node>) -> Option<Graph> {
        let values = |names: &[&str]| {
            let value = |name: &&str| ValueInfo {
                name: (*name).to_owned(),
                kind: None,
            };
            names.iter().map(value).collect()
        };
        let mut graph = Graph {
            nodes,
            inputs: values(&[&["input_ids", "logits_index"], &PACKED[3..7]].concat()),
            outputs: values(&["logits", "present.7.key", "present.7.value"]),
            ..Graph::default()
        };
        let before = graph.clone();
        if replace(&mut graph) {
            return Some(graph);
        }
        assert_eq!(graph, before);
        None
    }

    #[test]
    fn a_plain_one_becomes_ours_without_caches() {
        let graph = replaced(vec![attention(&PLAIN, &PACKED)]).expect("replaced");
        let node = &graph.nodes[0];
        assert_eq!((node.kind.as_str(), node.domain.as_str()), (NAME, DOMAIN));
        assert_eq!(node.inputs, ["qkv", "", "", "cos", "sin"]);
        assert_eq!(node.outputs, ["out"]);
        let layer = node.attributes.last().expect("attributes");
        assert_eq!((layer.name.as_str(), layer.int), (LAYER, 7));
        let names = |values: &[ValueInfo]| -> Vec<String> {
            values.iter().map(|value| value.name.clone()).collect()
        };
        assert_eq!(names(&graph.inputs), ["input_ids", "logits_index"]);
        assert_eq!(names(&graph.outputs), ["logits"]);
    }

    #[rstest]
    #[case::a_window(attention(&[PLAIN.as_slice(), &[("local_window_size", 9)]].concat(), &PACKED))]
    #[case::pairs_side_by_side(attention(&[PLAIN.as_slice(), &[("rotary_interleaved", 1)]].concat(), &PACKED))]
    #[case::no_rotation(attention(&PLAIN[..2], &PACKED))]
    #[case::a_bias(attention(&PLAIN, &[PACKED.as_slice(), &["", "bias"]].concat()))]
    #[case::keys_alone(attention(&PLAIN, &[&["q", "k", ""], &PACKED[3..]].concat()))]
    #[case::a_cache_from_elsewhere(attention(&PLAIN, &[&["qkv", "", "", "k", "v"], &PACKED[5..]].concat()))]
    #[case::another(Node { kind: "Attention".to_owned(), ..attention(&PLAIN, &PACKED) })]
    fn others_stay(#[case] node: Node) {
        assert_eq!(replaced(vec![node]), None);
    }

    #[test]
    fn a_graph_that_needs_the_lengths_elsewhere_stays() {
        let shape = Node {
            inputs: vec!["seqlens_k".to_owned()],
            kind: "Shape".to_owned(),
            ..Node::default()
        };
        assert_eq!(replaced(vec![attention(&PLAIN, &PACKED), shape]), None);
    }
}
