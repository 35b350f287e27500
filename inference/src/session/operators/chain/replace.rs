//! Puts chains where a graph has products of ours, each as long as it can be.

use std::collections::{HashMap, HashSet};

use super::{
    super::product::{self, Source, Weights},
    CHAIN, NAME, Plan,
};
use crate::{
    import::onnx::{
        CONTRIB, ElementType, STANDARD, Setting, attribute,
        message::{Graph, Node, Tensor},
    },
    session::operators::DOMAIN,
};

/// Puts the products, which have these weights, and what stands between them into chains, and returns what these compute:
/// that of a node has the number that its attribute [`CHAIN`] says.
pub(in super::super) fn replace(graph: &mut Graph, products: &[Weights]) -> Vec<Vec<Plan>> {
    let view = View::of(graph, products);
    let (mut chains, mut taken) = (Vec::new(), HashSet::new());
    for first in 0..graph.nodes.len() {
        if taken.contains(&first) {
            continue;
        }
        let Some(chain) = view.chain(first) else {
            continue;
        };
        taken.extend(chain.nodes.iter().copied());
        chains.push(chain);
    }
    let (mut plans, mut nodes) = (Vec::new(), HashMap::new());
    for chain in chains {
        let number = i64::try_from(plans.len()).unwrap_or(i64::MAX);
        nodes.insert(chain.last(), chain.node(number));
        plans.push(chain.steps);
    }
    let old = std::mem::take(&mut graph.nodes).into_iter().enumerate();
    let new = old.filter_map(|(place, node)| match nodes.remove(&place) {
        Some(chain) => Some(chain),
        None => (!taken.contains(&place)).then_some(node),
    });
    graph.nodes = new.collect();
    if !plans.is_empty() {
        // What norms are multiplied with.
        let needed = product::needed(graph);
        graph
            .constants
            .retain(|constant| needed.contains(&constant.name));
    }
    plans
}

/// A chain that grows.
struct Chain {
    steps: Vec<Plan>,
    /// Of the graph, in any order.
    nodes: Vec<usize>,
    input: String,
    /// What the last step gives.
    output: String,
    /// How many numbers of a token that are.
    width: usize,
    /// What is added to first.
    residual: String,
    /// The last sum; empty where nobody but the chain needs it.
    sum: String,
}

impl Chain {
    /// Where all that it needs is there.
    fn last(&self) -> usize {
        self.nodes.iter().copied().max().unwrap_or_default()
    }

    fn node(&self, number: i64) -> Node {
        let given = |names: [&String; 2]| -> Vec<String> {
            let given = names.into_iter().filter(|name| !name.is_empty());
            given.cloned().collect()
        };
        Node {
            inputs: given([&self.input, &self.residual]),
            outputs: given([&self.output, &self.sum]),
            name: self.output.clone(),
            kind: NAME.to_owned(),
            attributes: vec![attribute(CHAIN, Setting::Int(number))],
            domain: DOMAIN.to_owned(),
        }
    }
}

/// A graph, and who takes what.
struct View<'a> {
    nodes: &'a [Node],
    products: &'a [Weights],
    constants: HashMap<&'a str, &'a Tensor>,
    takers: HashMap<&'a str, Vec<usize>>,
    /// What the graph gives.
    given: HashSet<&'a str>,
}

impl<'a> View<'a> {
    fn of(graph: &'a Graph, products: &'a [Weights]) -> Self {
        let mut takers: HashMap<_, Vec<_>> = HashMap::new();
        for (place, node) in graph.nodes.iter().enumerate() {
            // What is left out has no name.
            for input in node.inputs.iter().filter(|input| !input.is_empty()) {
                takers.entry(input.as_str()).or_default().push(place);
            }
        }
        let constants = graph.constants.iter();
        Self {
            nodes: &graph.nodes,
            products,
            constants: constants
                .map(|tensor| (tensor.name.as_str(), tensor))
                .collect(),
            takers,
            given: graph
                .outputs
                .iter()
                .map(|output| output.name.as_str())
                .collect(),
        }
    }

    /// The chain that begins with a product.
    fn chain(&self, first: usize) -> Option<Chain> {
        let weights = self.product(first)?;
        let node = &self.nodes[first];
        let mut chain = Chain {
            nodes: vec![first],
            input: node.inputs.first()?.clone(),
            output: node.outputs.first()?.clone(),
            width: weights.size.outputs,
            residual: String::new(),
            sum: String::new(),
            steps: vec![Plan::Product(weights.clone())],
        };
        while self.grow(&mut chain).is_some() {}
        Some(chain)
    }

    /// Takes in whatever comes next, or tells that nothing can.
    fn grow(&self, chain: &mut Chain) -> Option<()> {
        self.take_product(chain)
            .or_else(|| self.take_add_norm(chain))
            .or_else(|| self.take_gate(chain))
    }

    fn take_product(&self, chain: &mut Chain) -> Option<()> {
        let taker = self.only_taker(&chain.output)?;
        let weights = self.product(taker)?;
        if weights.size.inputs != chain.width {
            return None;
        }
        let output = self.nodes[taker].outputs.first()?;
        self.add(chain, &[taker], output, Plan::Product(weights.clone()))?;
        chain.width = weights.size.outputs;
        Some(())
    }

    fn take_add_norm(&self, chain: &mut Chain) -> Option<()> {
        let taker = self.only_taker(&chain.output)?;
        let node = &self.nodes[taker];
        let is_known = node.kind == "SkipSimplifiedLayerNormalization" && node.domain == CONTRIB;
        let [left, right, weights] = node.inputs.as_slice() else {
            return None;
        };
        let other = if *right == chain.output { left } else { right };
        let (output, more) = node.outputs.split_first()?;
        let sum = match more {
            [] => "",
            [mean, variance, sum] if mean.is_empty() && variance.is_empty() => sum.as_str(),
            _ => return None,
        };
        let [epsilon] = node.attributes.as_slice() else {
            return None;
        };
        let is_first = chain.residual.is_empty();
        let continues = is_first || (*other == chain.sum && self.only_taker(other) == Some(taker));
        if !is_known || *other == chain.output || !continues || epsilon.name != "epsilon" {
            return None;
        }
        let step = Plan::AddNorm {
            weights: self.floats(weights, chain.width)?,
            epsilon: epsilon.float,
        };
        self.add(chain, &[taker], output, step)?;
        if is_first {
            chain.residual.clone_from(other);
        }
        sum.clone_into(&mut chain.sum);
        Some(())
    }

    /// `Split` into gate and up, `Mul(gate, Sigmoid(gate))`, and that times up.
    fn take_gate(&self, chain: &mut Chain) -> Option<()> {
        let split = self.only_taker(&chain.output)?;
        let node = &self.nodes[split];
        let setting = |name: &str| {
            let found = node.attributes.iter().find(|one| one.name == name);
            found.map(|attribute| attribute.int)
        };
        let halves = node.kind == "Split"
            && node.inputs.len() == 1
            && setting("axis") == Some(-1)
            && setting("num_outputs") == Some(2)
            && chain.width.is_multiple_of(2);
        let [gate, up] = node.outputs.as_slice() else {
            return None;
        };
        let [left, right] = *self.takers.get(gate.as_str())?.as_slice() else {
            return None;
        };
        let is_sigmoid = |place: usize| self.nodes[place].kind == "Sigmoid";
        let (sigmoid, activated) = if is_sigmoid(left) {
            (left, right)
        } else {
            (right, left)
        };
        let share = self.nodes[sigmoid].outputs.first()?;
        let gated = self.only_taker(up)?;
        let silu = self.nodes[activated].outputs.first()?;
        let fits = halves
            && is_sigmoid(sigmoid)
            && self.is_standard(&[split, sigmoid, activated, gated])
            && self.only_taker(share) == Some(activated)
            && self.only_taker(silu) == Some(gated)
            && self.is_product_of(activated, [gate, share])
            && self.is_product_of(gated, [silu, up])
            && !self.given.contains(gate.as_str());
        if !fits {
            return None;
        }
        let output = self.nodes[gated].outputs.first()?;
        let nodes = [split, sigmoid, activated, gated];
        self.add(chain, &nodes, output, Plan::Gate)?;
        chain.width /= 2;
        Some(())
    }

    /// Makes the chain longer, unless somebody before its new end needs what it gives.
    fn add(&self, chain: &mut Chain, nodes: &[usize], output: &str, step: Plan) -> Option<()> {
        let last = nodes.iter().copied().fold(chain.last(), usize::max);
        let sum = self.takers.get(chain.sum.as_str());
        let mut takers = sum.into_iter().flatten();
        if takers.any(|taker| *taker < last && !nodes.contains(taker)) {
            return None;
        }
        chain.nodes.extend(nodes);
        output.clone_into(&mut chain.output);
        chain.steps.push(step);
        Some(())
    }

    fn product(&self, place: usize) -> Option<&'a Weights> {
        self.products.get(product::node(&self.nodes[place])?)
    }

    /// The one node that takes a value, which the graph does not give.
    fn only_taker(&self, value: &str) -> Option<usize> {
        match self.takers.get(value)?.as_slice() {
            [taker] if !self.given.contains(value) => Some(*taker),
            _ => None,
        }
    }

    fn is_standard(&self, places: &[usize]) -> bool {
        let mut places = places.iter();
        places.all(|place| self.nodes[*place].domain == STANDARD)
    }

    fn is_product_of(&self, place: usize, factors: [&String; 2]) -> bool {
        let node = &self.nodes[place];
        let [left, right] = node.inputs.as_slice() else {
            return false;
        };
        let [one, other] = factors;
        node.kind == "Mul" && ([left, right] == [one, other] || [left, right] == [other, one])
    }

    /// A constant of so many floats.
    fn floats(&self, name: &str, length: usize) -> Option<Source> {
        let tensor = *self.constants.get(name)?;
        Source::of_elements(tensor, ElementType::Float, size_of::<f32>(), length)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::import::onnx::message::ValueInfo;

    const WIDTH: i64 = 64;

    fn node(kind: &str, domain: &str, inputs: &[&str], outputs: &[&str]) -> Node {
        let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
        Node {
            inputs: names(inputs),
            outputs: names(outputs),
            kind: kind.to_owned(),
            domain: domain.to_owned(),
            ..Node::default()
        }
    }

    fn with(mut node: Node, settings: &[(&str, i64)]) -> Node {
        let settings = settings
            .iter()
            .map(|(name, int)| attribute(name, Setting::Int(*int)));
        node.attributes.extend(settings);
        node
    }

    fn product(input: &str, output: &str, outputs: i64) -> Node {
        let values = format!("{outputs}.values");
        let scales = format!("{outputs}.scales");
        let node = node(
            "MatMulNBits",
            CONTRIB,
            &[input, &values, &scales],
            &[output],
        );
        let size = [("K", WIDTH), ("N", outputs)];
        let kind = [("bits", 8), ("block_size", 32), ("accuracy_level", 4)];
        with(with(node, &size), &kind)
    }

    fn add_norm(inputs: [&str; 2], outputs: &[&str]) -> Node {
        let inputs = [&inputs[..], &["norm"]].concat();
        let kind = "SkipSimplifiedLayerNormalization";
        let mut node = node(kind, CONTRIB, &inputs, outputs);
        node.attributes
            .push(attribute("epsilon", Setting::Float(0.25)));
        node
    }

    fn constant(name: &str, element: ElementType, dimensions: &[i64]) -> Tensor {
        let size = if element == ElementType::Float { 4 } else { 1 };
        let length = usize::try_from(dimensions.iter().product::<i64>()).expect("few");
        Tensor {
            name: name.to_owned(),
            element_type: element.number(),
            dimensions: dimensions.to_vec(),
            raw_data: vec![1; size * length],
            ..Tensor::default()
        }
    }

    /// A layer from its attention to what the next one's takes.
    fn layer() -> Vec<Node> {
        let split = node("Split", STANDARD, &["both"], &["gate", "up"]);
        let attention = node(
            "GroupedAttention",
            DOMAIN,
            &["before", "", ""],
            &["attended"],
        );
        vec![
            attention,
            product("attended", "o", 64),
            add_norm(["residual.0", "o"], &["ffn_in", "", "", "sum"]),
            product("ffn_in", "both", 128),
            with(split, &[("axis", -1), ("num_outputs", 2)]),
            node("Sigmoid", STANDARD, &["gate"], &["share"]),
            node("Mul", STANDARD, &["gate", "share"], &["silu"]),
            node("Mul", STANDARD, &["silu", "up"], &["gated"]),
            product("gated", "down", 64),
            add_norm(["sum", "down"], &["attn_in", "", "", "residual.1"]),
            product("attn_in", "qkv", 96),
            node("GroupedAttention", DOMAIN, &["qkv", "", ""], &["next"]),
            node("Add", STANDARD, &["next", "residual.1"], &["end"]),
        ]
    }

    fn graph(nodes: Vec<Node>, outputs: &[&str]) -> Graph {
        let mut constants = vec![constant("norm", ElementType::Float, &[WIDTH])];
        for outputs in [64, 96, 128] {
            let (values, scales) = (format!("{outputs}.values"), format!("{outputs}.scales"));
            constants.push(constant(&values, ElementType::Uint8, &[outputs, 2, 32]));
            constants.push(constant(&scales, ElementType::Float, &[outputs, 2]));
        }
        let output = |name: &&str| ValueInfo {
            name: (*name).to_owned(),
            kind: None,
        };
        Graph {
            nodes,
            constants,
            outputs: outputs.iter().map(output).collect(),
            ..Graph::default()
        }
    }

    /// The chains that come of a graph, step by step.
    fn chains(graph: &mut Graph) -> Vec<String> {
        let products = product::replace(graph);
        let plans = replace(graph, &products);
        let step = |step: &Plan| match step {
            Plan::Product(weights) => weights.size.outputs.to_string(),
            Plan::Gate => "gate".to_owned(),
            Plan::AddNorm { .. } => "norm".to_owned(),
        };
        let chain = |plan: &Vec<Plan>| plan.iter().map(step).collect::<Vec<_>>().join(" ");
        plans.iter().map(chain).collect()
    }

    #[test]
    fn a_layer_is_its_attention_and_a_chain() {
        let mut graph = graph(layer(), &["end"]);
        assert_eq!(chains(&mut graph), ["64 norm 128 gate 64 norm 96"]);
        let kinds: Vec<_> = graph.nodes.iter().map(|node| node.kind.as_str()).collect();
        let attention = "GroupedAttention";
        assert_eq!(kinds, [attention, NAME, attention, "Add"]);
        let chain = &graph.nodes[1];
        assert_eq!(chain.inputs, ["attended", "residual.0"]);
        assert_eq!(chain.outputs, ["qkv", "residual.1"]);
        assert_eq!(graph.constants, []);
    }

    /// The layer with another node in a place.
    fn changed(place: usize, change: impl FnOnce(&mut Node)) -> Vec<Node> {
        let mut nodes = layer();
        change(&mut nodes[place]);
        nodes
    }

    /// The layer with one more node.
    fn and(place: usize, input: &str) -> Vec<Node> {
        let mut nodes = layer();
        nodes.insert(place, node("Neg", STANDARD, &[input], &["negative"]));
        nodes
    }

    const BEFORE: &str = "64 norm 128";
    const AFTER: &str = "64 norm 96";

    #[rstest]
    #[case::another_activation(changed(5, |node| node.kind = "Tanh".to_owned()), &[BEFORE, AFTER])]
    #[case::another_share(changed(7, |node| node.inputs[0] = "gate".to_owned()), &[BEFORE, AFTER])]
    #[case::three_parts(changed(4, |node| node.outputs.push("more".to_owned())), &[BEFORE, AFTER])]
    #[case::parts_of_tokens(changed(4, |node| node.attributes[0].int = 1), &[BEFORE, AFTER])]
    #[case::gate_taken(and(8, "gate"), &[BEFORE, AFTER])]
    #[case::up_taken(and(8, "up"), &[BEFORE, AFTER])]
    #[case::share_taken(and(8, "share"), &[BEFORE, AFTER])]
    #[case::silu_taken(and(8, "silu"), &[BEFORE, AFTER])]
    #[case::product_taken(and(8, "both"), &[BEFORE, AFTER])]
    #[case::gated_taken(and(9, "gated"), &["64 norm 128 gate", AFTER])]
    #[case::normalized_taken(and(4, "ffn_in"), &["64 norm", "128 gate 64 norm 96"])]
    #[case::a_bias(changed(2, |node| node.inputs.push("bias".to_owned())), &["64", "128 gate 64 norm 96"])]
    #[case::weights_of_another(changed(2, |node| node.inputs[2] = "64.scales".to_owned()), &["64", "128 gate 64 norm 96"])]
    #[case::the_mean_is_wanted(changed(2, |node| node.outputs[1] = "mean".to_owned()), &["64", "128 gate 64 norm 96"])]
    #[case::another_residual(changed(9, |node| node.inputs[0] = "residual.0".to_owned()), &["64 norm 128 gate 64", "96"])]
    #[case::sum_taken(and(11, "sum"), &["64 norm 128 gate 64", "96"])]
    #[case::sum_taken_before_the_end(and(7, "sum"), &["64 norm 128", AFTER])]
    fn chains_are_as_long_as_can_be(#[case] nodes: Vec<Node>, #[case] expected: &[&str]) {
        let mut graph = graph(nodes, &["end"]);
        assert_eq!(chains(&mut graph), expected);
        // All that somebody takes is there before.
        let mut there: HashSet<&str> = HashSet::from(["", "before", "residual.0", "bias"]);
        there.extend(
            graph
                .constants
                .iter()
                .map(|constant| constant.name.as_str()),
        );
        for node in &graph.nodes {
            for input in &node.inputs {
                assert!(there.contains(input.as_str()), "{input}");
            }
            there.extend(node.outputs.iter().map(String::as_str));
        }
    }

    #[test]
    fn what_the_graph_gives_stays() {
        for (output, expected) in [
            ("o", ["64", "128 gate 64 norm 96"].as_slice()),
            ("gate", &[BEFORE, AFTER]),
            ("sum", &["64 norm 128 gate 64", "96"]),
            ("residual.1", &["64 norm 128 gate 64 norm 96"]),
        ] {
            let mut graph = graph(layer(), &["end", output]);
            assert_eq!(chains(&mut graph), expected, "{output}");
            let mut given = graph.nodes.iter().flat_map(|node| &node.outputs);
            assert!(given.any(|given| given == output), "{output}");
        }
    }
}
