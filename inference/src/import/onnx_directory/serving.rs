//! Translates between the form of graph that the engine runs and the form that exporters write.
//!
//! The engine gives the tokens of each row, the length of each row (`seqlens_k`, less one), the longest length
//! (`total_sequence_length`), the positions of each row whose logits are wanted (`logits_index`), and caches with room to spare, which are input
//! and output in one. Exported graphs take a mask, positions and caches without room, and give caches that have grown.
//!
//! Graphs with `GroupQueryAttention` know caches with room; others get the used part of each cache, and what they
//! add is put back to the row's own place.

use std::{collections::HashMap, path::Path};

use prost::{Message as _, bytes::Bytes};

use super::{
    OnnxError,
    envelope::{GraphEnvelope, NodeEnvelope},
    interface::{
        Interface, LENGTHS, LOGITS, MASK, POSITIONS, TOKENS, TOTAL, WANTED, past_names,
        present_names,
    },
};
use crate::import::onnx::{
    CONTRIB, ElementType, STANDARD, Setting, Size, attribute, message::Tensor, value_info,
};

const ATTENTION: &str = "GroupQueryAttention";
/// Begins the names of what we add.
const OURS: &str = "serving.";
/// The end of every dimension.
const END: i64 = i64::MAX;

/// Changes a graph into the form that the engine runs.
pub(super) fn rewrite(
    graph: &mut GraphEnvelope,
    interface: &Interface,
    path: &Path,
) -> Result<(), OnnxError> {
    let nodes = graph
        .nodes
        .iter()
        .map(|node| NodeEnvelope::decode(node.clone()));
    let nodes = nodes.collect::<Result<Vec<_>, _>>();
    let mut nodes = nodes.map_err(|error| OnnxError::Invalid {
        path: path.to_owned(),
        source: Some(error),
    })?;
    free_names(&mut nodes);
    let mut additions = Additions::default();
    additions.lengths();
    if is_attention_with_room(&nodes, interface) {
        for node in nodes.iter_mut().filter(|node| node.kind == ATTENTION) {
            LENGTHS.clone_into(&mut node.inputs[5]);
            TOTAL.clone_into(&mut node.inputs[6]);
        }
    } else {
        refuse_attention_without_room(&nodes)?;
        grow_caches(&mut nodes, &mut additions, interface);
    }
    if interface.gives_all_logits {
        choose_logits(&mut nodes, &mut additions);
    }
    let Additions {
        before,
        after,
        constants,
    } = additions;
    let encoded = before.iter().chain(&nodes).chain(&after);
    graph.nodes = encoded
        .map(|node| Bytes::from(node.encode_to_vec()))
        .collect();
    let constants = constants.iter();
    graph
        .initializers
        .extend(constants.map(|tensor| Bytes::from(tensor.encode_to_vec())));
    declare(graph, interface);
    Ok(())
}

/// Renames what the graph computes under the name of one of our inputs.
fn free_names(nodes: &mut [NodeEnvelope]) {
    let ours = [LENGTHS, TOTAL, WANTED, MASK, POSITIONS];
    let renamed: HashMap<String, String> = nodes
        .iter()
        .flat_map(|node| &node.outputs)
        .filter(|name| ours.contains(&name.as_str()))
        .map(|name| (name.clone(), format!("graph.{name}")))
        .collect();
    for node in nodes {
        rename(&mut node.inputs, &renamed);
        rename(&mut node.outputs, &renamed);
    }
}

/// Whether every cache goes into attention that knows of room to spare, and comes out of it.
fn is_attention_with_room(nodes: &[NodeEnvelope], interface: &Interface) -> bool {
    let attention: Vec<_> = nodes
        .iter()
        .filter(|node| node.kind == ATTENTION && node.domain == CONTRIB && node.inputs.len() > 6)
        .collect();
    (0..interface.layers).all(|layer| {
        let (past, present) = (past_names(layer), present_names(layer));
        attention.iter().any(|node| {
            node.inputs[3..5] == past[..] && node.outputs.get(1..3) == Some(&present[..])
        })
    })
}

fn refuse_attention_without_room(nodes: &[NodeEnvelope]) -> Result<(), OnnxError> {
    match nodes.iter().find(|node| node.kind == ATTENTION) {
        None => Ok(()),
        Some(node) => Err(OnnxError::Cache {
            name: node.name.clone(),
            problem: "GroupQueryAttention must take past_key_values.N and give present.N directly",
        }),
    }
}

/// Gives the graph the used part of each cache, and puts what it has added to its place.
fn grow_caches(nodes: &mut [NodeEnvelope], additions: &mut Additions, interface: &Interface) {
    let mut renamed = HashMap::new();
    for layer in 0..interface.layers {
        for (past, present) in past_names(layer).into_iter().zip(present_names(layer)) {
            let (used, grown) = (format!("{OURS}{past}"), format!("{OURS}{present}"));
            additions.cache(&past, &present, &used, &grown);
            renamed.insert(past, used);
            renamed.insert(present, grown);
        }
    }
    for node in nodes {
        rename(&mut node.inputs, &renamed);
        rename(&mut node.outputs, &renamed);
    }
}

fn rename(names: &mut [String], renamed: &HashMap<String, String>) {
    for name in names {
        if let Some(new) = renamed.get(name.as_str()) {
            name.clone_from(new);
        }
    }
}

/// Computes the logits of the wanted tokens only: chosen before the last product where that is a plain one, for it is by far the
/// largest, else after it.
fn choose_logits(nodes: &mut [NodeEnvelope], additions: &mut Additions) {
    let chosen = format!("{OURS}chosen");
    additions.add_before("Unsqueeze", &[WANTED, "axis.2"], "chosen", &[]);
    let position = nodes
        .iter()
        .position(|node| node.outputs.iter().any(|output| output == LOGITS));
    let Some(position) = position else { return };
    let kind = nodes[position].kind.as_str();
    let is_product = matches!(kind, "MatMul" | "MatMulNBits");
    let input = nodes[position].inputs.first().cloned();
    let is_computed = |name: &String| nodes.iter().any(|node| node.outputs.contains(name));
    if let Some(input) = input.filter(|input| is_product && is_computed(input)) {
        let gathered = format!("{OURS}final");
        // Added to the graph's own nodes, whose order must stay that of computation.
        let mut product = nodes[position].clone();
        product.inputs[0].clone_from(&gathered);
        let mut gather = additions.node("GatherND", &[], "final", &[BATCHED]);
        gather.inputs = vec![input, chosen];
        nodes[position] = gather;
        additions.after.push(product);
    } else {
        let all = format!("{OURS}all_logits");
        let renamed = HashMap::from([(LOGITS.to_owned(), all.clone())]);
        for node in nodes {
            rename(&mut node.inputs, &renamed);
            rename(&mut node.outputs, &renamed);
        }
        let mut gather = additions.node("GatherND", &[&all, &chosen], "", &[BATCHED]);
        gather.outputs = vec![LOGITS.to_owned()];
        additions.after.push(gather);
    }
}

const BATCHED: (&str, Setting) = ("batch_dims", Setting::Int(1));

/// The inputs and outputs of the form that the engine runs.
fn declare(graph: &mut GraphEnvelope, interface: &Interface) {
    let batch = Size::Named("batch_size");
    let tokens = [batch, Size::Named("sequence_length")];
    let wanted = Size::Named("logits_length");
    let mut inputs = vec![
        value_info(TOKENS, ElementType::Int64, &tokens),
        value_info(LENGTHS, ElementType::Int32, &[batch]),
        value_info(TOTAL, ElementType::Int32, &[]),
        value_info(WANTED, ElementType::Int64, &[batch, wanted]),
    ];
    let vocabulary = interface
        .vocabulary_size
        .map_or(Size::Named("vocabulary_size"), Size::Fixed);
    let mut outputs = vec![value_info(
        LOGITS,
        ElementType::Float,
        &[batch, wanted, vocabulary],
    )];
    let cache = |length| {
        [
            batch,
            Size::Fixed(interface.kv_heads),
            Size::Named(length),
            Size::Fixed(interface.head_size),
        ]
    };
    for layer in 0..interface.layers {
        for (past, present) in past_names(layer).iter().zip(present_names(layer)) {
            inputs.push(value_info(past, ElementType::Float, &cache("capacity")));
            outputs.push(value_info(&present, ElementType::Float, &cache("capacity")));
        }
    }
    graph.inputs = inputs;
    graph.outputs = outputs;
}

/// What goes before and behind a graph's own operators.
#[derive(Default)]
struct Additions {
    before: Vec<NodeEnvelope>,
    after: Vec<NodeEnvelope>,
    constants: Vec<Tensor>,
}

impl Additions {
    /// The mask and the positions, and what both come from.
    fn lengths(&mut self) {
        self.constant("0", &[], &[0]);
        self.constant("1", &[], &[1]);
        self.constant("axis.0", &[1], &[0]);
        self.constant("axis.1", &[1], &[1]);
        self.constant("axis.2", &[1], &[2]);
        self.constant("end", &[1], &[END]);
        let to_int64 = [("to", Setting::Int(ElementType::Int64.number().into()))];
        self.add_before("Cast", &[TOTAL], "total", &to_int64);
        self.add_before("Cast", &[LENGTHS], "last_places", &to_int64);
        self.add_before("Shape", &[TOKENS], "tokens_shape", &[]);
        self.add_before("Gather", &["tokens_shape", "1"], "new", &[]);
        // Tokens before this run: of the longest row, and of each row.
        self.add_before("Sub", &["total", "new"], "longest_past", &[]);
        self.add_before("Add", &["last_places", "1"], "row_lengths", &[]);
        self.add_before("Sub", &["row_lengths", "new"], "row_pasts_or_less", &[]);
        self.add_before("Max", &["row_pasts_or_less", "0"], "row_pasts", &[]);
        self.add_before(
            "Unsqueeze",
            &["row_pasts", "axis.1"],
            "row_pasts_column",
            &[],
        );
        // A row attends to its own past, and to the new tokens.
        self.add_before("Range", &["0", "total", "1"], "places", &[]);
        self.add_before("Unsqueeze", &["places", "axis.0"], "places_row", &[]);
        self.add_before("Less", &["places_row", "row_pasts_column"], "is_past", &[]);
        self.add_before("Less", &["places_row", "longest_past"], "is_before", &[]);
        self.add_before("Not", &["is_before"], "is_new", &[]);
        self.add_before("Or", &["is_past", "is_new"], "attended", &[]);
        self.add_before("Cast", &["attended"], MASK, &to_int64);
        self.add_before("Range", &["0", "new", "1"], "steps", &[]);
        self.add_before("Unsqueeze", &["steps", "axis.0"], "steps_row", &[]);
        self.add_before("Add", &["row_pasts_column", "steps_row"], POSITIONS, &[]);
        self.add_before("Unsqueeze", &["longest_past", "axis.0"], "past_end", &[]);
        // Where new entries of a cache belong, in a shape that can be stretched to theirs.
        self.constant("axes.1.3", &[2], &[1, 3]);
        self.add_before("Unsqueeze", &[POSITIONS, "axes.1.3"], "cache_places", &[]);
    }

    fn cache(&mut self, past: &str, present: &str, used: &str, grown: &str) {
        self.add_before("Slice", &[past, "axis.0", "past_end", "axis.2"], used, &[]);
        let step = |step: &str| format!("{present}.{step}");
        let [added, shape, places] = ["added", "shape", "places"].map(step);
        for (kind, inputs, output) in [
            ("Slice", vec![grown, "past_end", "end", "axis.2"], &added),
            ("Shape", vec![&*added], &shape),
            ("Expand", vec!["cache_places", &*shape], &places),
        ] {
            let node = self.node(kind, &inputs, output, &[]);
            self.after.push(node);
        }
        let axis = [("axis", Setting::Int(2))];
        let mut scatter = self.node("ScatterElements", &[past, &places, &added], "", &axis);
        scatter.outputs = vec![present.to_owned()];
        self.after.push(scatter);
    }

    fn add_before(
        &mut self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        settings: &[(&str, Setting)],
    ) {
        let node = self.node(kind, inputs, output, settings);
        self.before.push(node);
    }

    /// An operator on the graph's own inputs and on what we add, of which only the latter have our prefix.
    #[expect(clippy::unused_self, reason = "reads like the other steps")]
    fn node(
        &self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        settings: &[(&str, Setting)],
    ) -> NodeEnvelope {
        let settings = settings
            .iter()
            .map(|&(name, setting)| Bytes::from(attribute(name, setting).encode_to_vec()));
        NodeEnvelope {
            inputs: inputs.iter().map(|name| full_name(name)).collect(),
            outputs: vec![full_name(output)],
            name: format!("{OURS}{kind}.{output}.{}", inputs.join(".")),
            kind: kind.to_owned(),
            domain: STANDARD.to_owned(),
            attributes: settings.collect(),
            ..NodeEnvelope::default()
        }
    }

    fn constant(&mut self, name: &str, shape: &[i64], values: &[i64]) {
        self.constants.push(Tensor {
            dimensions: shape.to_vec(),
            element_type: ElementType::Int64.number(),
            name: full_name(name),
            raw_data: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            ..Tensor::default()
        });
    }
}

fn full_name(name: &str) -> String {
    let is_of_graph = matches!(
        name,
        TOKENS | LENGTHS | TOTAL | WANTED | MASK | POSITIONS | LOGITS
    );
    if is_of_graph || name.starts_with(OURS) || name.starts_with("past_key_values.") {
        name.to_owned()
    } else {
        format!("{OURS}{name}")
    }
}
