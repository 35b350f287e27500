//! Puts our operators into a graph.

use std::path::Path;

use prost::Message as _;

use super::{
    DOMAIN, attention,
    chain::{self, Plan},
    encoder, product,
};
use crate::import::onnx::{
    message::{Graph, Model},
    operator_set,
};

/// A graph with operators of ours.
pub(crate) struct Rewritten {
    /// The model. Weights that are not below are where they were.
    pub(crate) model: Vec<u8>,
    /// Whether attention is ours. Then caches and lengths are no inputs and outputs of the graph any more.
    pub(crate) has_own_attention: bool,
    /// What our chains compute.
    pub(crate) chains: Vec<Vec<Plan>>,
    /// Whether all products are ours: what they give for a token depends on nothing beside it.
    pub(crate) has_own_products: bool,
}

/// The graph with our operators for what they know, or none where there is nothing for them, or where we do not know all
/// that is in the file.
pub(crate) fn rewrite(graph: &Path) -> Option<Rewritten> {
    let mut model = Model::read(graph)?;
    let graph = model.graph.as_mut()?;
    let has_own_attention = attention::replace(graph);
    let products = if product::is_possible() {
        product::replace(graph)
    } else {
        Vec::new()
    };
    let chains = chain::replace(graph, &products);
    if !has_own_attention && chains.is_empty() {
        return None;
    }
    let has_own_products = !chains.is_empty() && !has_other_products(graph);
    model.operator_sets.push(operator_set(DOMAIN, 1));
    Some(Rewritten {
        model: model.encode_to_vec(),
        has_own_attention,
        chains,
        has_own_products,
    })
}

/// A text encoder's graph with our operators, or none where there is nothing for them.
pub(in crate::session) fn rewrite_encoder(graph: &Path) -> Option<Vec<u8>> {
    let mut model = Model::read(graph)?;
    if !encoder::replace(model.graph.as_mut()?) {
        return None;
    }
    model.operator_sets.push(operator_set(DOMAIN, 1));
    Some(model.encode_to_vec())
}

/// Whether another's product is left, of whatever kind: `MatMul`, `FusedMatMul`, `MatMulNBits`, `Gemm`, `Conv`.
fn has_other_products(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| {
        let is_product = ["MatMul", "Gemm", "Conv"]
            .iter()
            .any(|kind| node.kind.contains(kind));
        is_product && node.domain != DOMAIN
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::import::onnx::message::Node;

    fn rewritten(kinds: &[(&str, &str)], more: &[u8]) -> Option<Rewritten> {
        let node = |(domain, kind): &(&str, &str)| Node {
            kind: (*kind).to_owned(),
            domain: (*domain).to_owned(),
            ..Node::default()
        };
        let model = Model {
            graph: Some(Graph {
                nodes: kinds.iter().map(node).collect(),
                ..Graph::default()
            }),
            ..Model::default()
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes = [model.encode_to_vec(), more.to_vec()].concat();
        fs::write(file.path(), bytes).expect("written");
        rewrite(file.path())
    }

    #[test]
    fn a_graph_without_anything_for_us_stays() {
        assert!(rewritten(&[("", "MatMul"), ("", "Add")], &[]).is_none());
    }

    #[test]
    fn a_file_with_more_than_we_know_stays() {
        // Field 25, functions.
        assert!(rewritten(&[], &[0xca, 0x01, 0x00]).is_none());
    }

    #[test]
    fn products_of_others_are_seen() {
        for (domain, kind, others) in [
            ("", "MatMul", true),
            ("com.microsoft", "MatMulNBits", true),
            ("", "Gemm", true),
            ("", "Add", false),
            (DOMAIN, chain::NAME, false),
        ] {
            let node = Node {
                kind: kind.to_owned(),
                domain: domain.to_owned(),
                ..Node::default()
            };
            let graph = Graph {
                nodes: vec![node],
                ..Graph::default()
            };
            assert_eq!(has_other_products(&graph), others, "{kind}");
        }
    }
}
