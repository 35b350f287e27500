//! What a decoder's graph takes and gives.

use std::collections::BTreeSet;

use prost::Message as _;

use super::{
    OnnxError,
    envelope::{GraphEnvelope, TensorHeader},
};
use crate::{
    import::{
        decoder::ModelConfig,
        onnx::{
            ElementType,
            message::{DimensionValue, TypeValue, ValueInfo},
        },
    },
    model_dir::Architecture,
};

pub(super) const TOKENS: &str = "input_ids";
pub(super) const MASK: &str = "attention_mask";
pub(super) const POSITIONS: &str = "position_ids";
pub(super) const LENGTHS: &str = "seqlens_k";
pub(super) const TOTAL: &str = "total_sequence_length";
pub(super) const WANTED: &str = "logits_index";
pub(super) const LOGITS: &str = "logits";

/// What to do about a cache in 16 bits.
const EXPORT_FLOATS: &str = "export the model with --dtype fp32";

/// The inputs and outputs that matter.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) layers: usize,
    pub(super) kv_heads: usize,
    pub(super) head_size: usize,
    /// The vocabulary, where the graph fixes it.
    pub(super) vocabulary_size: Option<usize>,
    /// Whether logits are of every token, rather than of those that are wanted.
    pub(super) gives_all_logits: bool,
}

/// A tensor's type and shape; no size where it is known only when the graph runs.
struct TensorShape {
    element: i32,
    sizes: Vec<Option<usize>>,
}

impl Interface {
    /// Checks a graph's inputs and outputs.
    pub(super) fn of(graph: &GraphEnvelope) -> Result<Self, OnnxError> {
        // Before its fourth version, the format listed constants among the inputs.
        let constants: BTreeSet<String> = graph
            .initializers
            .iter()
            .filter_map(|bytes| Some(TensorHeader::decode(bytes.clone()).ok()?.name))
            .collect();
        let inputs: Vec<&ValueInfo> = graph
            .inputs
            .iter()
            .filter(|input| !constants.contains(&input.name))
            .collect();
        for input in &inputs {
            check_input(input)?;
        }
        let has_input = |name: &str| inputs.iter().any(|input| input.name == name);
        if !has_input(TOKENS) {
            return Err(missing(format!("input {TOKENS}")));
        }
        let layers = inputs
            .iter()
            .filter(|input| matches!(input.name.rsplit_once('.'), Some((_, "key"))))
            .count();
        if layers == 0 {
            return Err(missing(
                "inputs past_key_values.0.key and .value".to_owned(),
            ));
        }
        let mut cache = None;
        for name in (0..layers).flat_map(past_names) {
            let found = inputs.iter().find(|input| input.name == name);
            let found = found.ok_or_else(|| missing(format!("input {name}")))?;
            let shape = cache_shape(found)?;
            match cache {
                None => cache = Some(shape),
                Some(first) if first == shape => {}
                Some(first) => {
                    return Err(OnnxError::WrongType {
                        name,
                        found: format!("{shape:?}"),
                        expected: format!("the first layer's {first:?}"),
                        remedy: "layers with caches of several sizes are not supported",
                    });
                }
            }
        }
        for name in (0..layers).flat_map(present_names) {
            if !graph.outputs.iter().any(|output| output.name == name) {
                return Err(missing(format!("output {name}")));
            }
        }
        let logits = graph.outputs.iter().find(|output| output.name == LOGITS);
        let logits = shape_of(logits.ok_or_else(|| missing(format!("output {LOGITS}")))?)?;
        if logits.element != ElementType::Float.number() {
            return Err(OnnxError::WrongType {
                name: LOGITS.to_owned(),
                found: format!("of element type {}", logits.element),
                expected: "32 bit floats".to_owned(),
                remedy: EXPORT_FLOATS,
            });
        }
        let [kv_heads, head_size] = cache.expect("there is a layer");
        Ok(Self {
            layers,
            kv_heads,
            head_size,
            vocabulary_size: logits.sizes.last().copied().flatten(),
            gives_all_logits: !has_input(WANTED),
        })
    }

    /// The model's numbers: the graph's where it has them, else those of `config.json`.
    pub(super) fn architecture(&self, config: &ModelConfig) -> Result<Architecture, OnnxError> {
        let described = config.architecture()?;
        let compare = |field: &'static str, graph: usize, config: usize| {
            if graph == config {
                return Ok(());
            }
            Err(OnnxError::WrongType {
                name: field.to_owned(),
                found: graph.to_string(),
                expected: format!("the {config} of config.json"),
                remedy: "the files are of different models; take those that were published together",
            })
        };
        compare("number of layers", self.layers, described.layers)?;
        compare(
            "number of key and value heads",
            self.kv_heads,
            described.kv_heads,
        )?;
        compare("head size", self.head_size, described.head_size)?;
        Ok(Architecture {
            vocabulary_size: self.vocabulary_size.unwrap_or(described.vocabulary_size),
            ..described
        })
    }
}

pub(super) fn past_names(layer: usize) -> [String; 2] {
    ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"))
}

pub(super) fn present_names(layer: usize) -> [String; 2] {
    ["key", "value"].map(|part| format!("present.{layer}.{part}"))
}

fn check_input(input: &ValueInfo) -> Result<(), OnnxError> {
    let expected = match &*input.name {
        TOKENS | MASK | POSITIONS | WANTED => ElementType::Int64,
        LENGTHS | TOTAL => ElementType::Int32,
        name if name.starts_with("past_key_values.") => return Ok(()),
        name => {
            let remedy = match name {
                "use_cache_branch" => {
                    "this is a merged decoder of an older Optimum; export the model again, which gives one plain graph"
                }
                "pixel_values" | "inputs_embeds" => {
                    "this is a part of a model of several graphs, of which only plain decoders of text are supported"
                }
                "encoder_hidden_states" | "encoder_attention_mask" => {
                    "this is the decoder of an encoder-decoder model, which is no chat model"
                }
                _ => "only plain decoders of text are supported",
            };
            return Err(OnnxError::UnknownInput {
                name: name.to_owned(),
                remedy,
            });
        }
    };
    let found = shape_of(input)?.element;
    if found == expected.number() {
        return Ok(());
    }
    Err(OnnxError::WrongType {
        name: input.name.clone(),
        found: format!("of element type {found}"),
        expected: format!("{expected:?}"),
        remedy: "export the model with Optimum",
    })
}

/// Heads and their size.
fn cache_shape(input: &ValueInfo) -> Result<[usize; 2], OnnxError> {
    let shape = shape_of(input)?;
    if shape.element != ElementType::Float.number() {
        return Err(OnnxError::WrongType {
            name: input.name.clone(),
            found: format!("of element type {}", shape.element),
            expected: "32 bit floats".to_owned(),
            remedy: EXPORT_FLOATS,
        });
    }
    match *shape.sizes {
        [_, Some(heads), _, Some(size)] => Ok([heads, size]),
        _ => Err(OnnxError::WrongType {
            name: input.name.clone(),
            found: format!("of shape {:?}", shape.sizes),
            expected: "[batch, heads, tokens, head size] with fixed heads and head size".to_owned(),
            remedy: "export the model with Optimum",
        }),
    }
}

fn shape_of(value: &ValueInfo) -> Result<TensorShape, OnnxError> {
    let Some(TypeValue::Tensor(tensor)) = value.kind.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Err(OnnxError::WrongType {
            name: value.name.clone(),
            found: "no tensor".to_owned(),
            expected: "a tensor".to_owned(),
            remedy: "export the model with Optimum",
        });
    };
    let size = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::Fixed(size)) => usize::try_from(*size).ok(),
        _ => None,
    };
    let dimensions = tensor.shape.iter().flat_map(|shape| &shape.dimensions);
    Ok(TensorShape {
        element: tensor.element_type,
        sizes: dimensions.map(|dimension| size(&dimension.value)).collect(),
    })
}

fn missing(what: String) -> OnnxError {
    OnnxError::Missing { what }
}
