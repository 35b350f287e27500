//! Puts our operator where a graph has ONNX Runtime's.

use std::{fs, path::Path};

use prost::Message as _;

use super::{DOMAIN, NAME};
use crate::import::onnx::{
    CONTRIB,
    message::{Attribute, Model, Node, OperatorSet},
};

const REPLACED: &str = "GroupQueryAttention";
/// A graph without its weights is smaller; a larger one is not read for this.
const LARGEST: u64 = 64 << 20;

/// The graph with our operator, if it has ONNX Runtime's in a form that ours knows. None where it has not, or where we do
/// not know all that is in the file.
pub(crate) fn replace(graph: &Path) -> Option<Vec<u8>> {
    if fs::metadata(graph).ok()?.len() > LARGEST {
        return None;
    }
    let bytes = fs::read(graph).ok()?;
    let mut model = Model::decode(bytes.as_slice()).ok()?;
    let is_ours = model.graph.as_ref()?.nodes.iter().any(is_known);
    // What is not in our messages would be lost.
    if !is_ours || model.encode_to_vec() != bytes {
        return None;
    }
    let nodes = &mut model.graph.as_mut()?.nodes;
    for node in nodes.iter_mut().filter(|node| is_known(node)) {
        NAME.clone_into(&mut node.kind);
        DOMAIN.clone_into(&mut node.domain);
    }
    model.operator_sets.push(OperatorSet {
        domain: DOMAIN.to_owned(),
        version: 1,
    });
    Some(model.encode_to_vec())
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
    use crate::import::onnx::message::{AttributeKind, Graph};

    fn attention(attributes: &[(&str, i64)], inputs: &[&str]) -> Node {
        let attribute = |(name, int): &(&str, i64)| Attribute {
            name: (*name).to_owned(),
            int: *int,
            kind: AttributeKind::Int.into(),
            ..Attribute::default()
        };
        Node {
            inputs: inputs.iter().copied().map(str::to_owned).collect(),
            outputs: ["out", "present.0.key", "present.0.value"]
                .map(str::to_owned)
                .to_vec(),
            kind: REPLACED.to_owned(),
            domain: CONTRIB.to_owned(),
            attributes: attributes.iter().map(attribute).collect(),
            ..Node::default()
        }
    }

    const PACKED: [&str; 9] = ["qkv", "", "", "k", "v", "last", "total", "cos", "sin"];
    const PLAIN: [(&str, i64); 3] = [("num_heads", 4), ("kv_num_heads", 2), ("do_rotary", 1)];

    fn replaced(node: Node, more: &[u8]) -> Option<Node> {
        let model = Model {
            graph: Some(Graph {
                nodes: vec![node],
                ..Graph::default()
            }),
            ..Model::default()
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes = [model.encode_to_vec(), more.to_vec()].concat();
        fs::write(file.path(), bytes).expect("written");
        let bytes = replace(file.path())?;
        let model = Model::decode(bytes.as_slice()).expect("a model");
        assert_eq!(model.operator_sets[0].domain, DOMAIN);
        model.graph.and_then(|graph| graph.nodes.into_iter().next())
    }

    #[test]
    fn a_plain_one_becomes_ours() {
        let node = replaced(attention(&PLAIN, &PACKED), &[]).expect("replaced");
        assert_eq!((node.kind.as_str(), node.domain.as_str()), (NAME, DOMAIN));
        assert_eq!(node.inputs[4], "v");
    }

    #[rstest]
    #[case::a_window(attention(&[PLAIN.as_slice(), &[("local_window_size", 9)]].concat(), &PACKED))]
    #[case::pairs_side_by_side(attention(&[PLAIN.as_slice(), &[("rotary_interleaved", 1)]].concat(), &PACKED))]
    #[case::no_rotation(attention(&PLAIN[..2], &PACKED))]
    #[case::a_bias(attention(&PLAIN, &[PACKED.as_slice(), &["", "bias"]].concat()))]
    #[case::keys_alone(attention(&PLAIN, &["q", "k", "", "k", "v", "last", "total", "cos", "sin"]))]
    #[case::another(Node { kind: "Attention".to_owned(), ..attention(&PLAIN, &PACKED) })]
    fn others_stay(#[case] node: Node) {
        assert_eq!(replaced(node, &[]), None);
    }

    #[test]
    fn a_file_with_more_than_we_know_stays() {
        // Field 25, functions.
        let unknown = [0xca, 0x01, 0x00];
        assert_eq!(replaced(attention(&PLAIN, &PACKED), &unknown), None);
    }
}
