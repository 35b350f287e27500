//! A decoder from the `config.json` of the transformers library.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Activation, Architecture, Decoder, DecoderError, Family, Names, Rotation, alternating_windows,
    check_architecture, rotation::Llama3Scaling, scale_of,
};

const DEFAULT_ROPE_BASE: f64 = 10_000.0;
const DEFAULT_GEMMA3_BASE: f64 = 1_000_000.0;
const DEFAULT_WINDOW: usize = 4096;
const GEMMA2_PATTERN: usize = 2;
const GEMMA3_PATTERN: usize = 6;
const WINDOWED: &str = "sliding_attention";
const FULL: &str = "full_attention";

/// The fields that change what a model computes, and how it is talked to.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ModelConfig {
    pub(crate) model_type: String,
    #[serde(default)]
    num_hidden_layers: Option<usize>,
    #[serde(default)]
    hidden_size: Option<usize>,
    #[serde(default)]
    intermediate_size: Option<usize>,
    #[serde(default)]
    num_attention_heads: Option<usize>,
    #[serde(default)]
    num_key_value_heads: Option<usize>,
    #[serde(default)]
    head_dim: Option<usize>,
    #[serde(default)]
    vocab_size: Option<usize>,
    #[serde(default)]
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    rms_norm_eps: Option<f64>,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    hidden_activation: Option<String>,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_local_base_freq: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<Value>,
    #[serde(default)]
    rope_parameters: Option<Value>,
    #[serde(default)]
    partial_rotary_factor: Option<f64>,
    #[serde(default)]
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: Option<bool>,
    #[serde(default)]
    max_window_layers: Option<usize>,
    #[serde(default)]
    sliding_window_pattern: Option<usize>,
    #[serde(default)]
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    query_pre_attn_scalar: Option<f64>,
    #[serde(default)]
    attn_logit_softcapping: Option<f64>,
    #[serde(default)]
    final_logit_softcapping: Option<f64>,
    #[serde(default)]
    use_bidirectional_attention: Option<bool>,
    #[serde(default)]
    quantization_config: Option<Value>,
    #[serde(default)]
    pub(crate) tie_word_embeddings: Option<bool>,
    #[serde(default)]
    pub(crate) bos_token_id: Option<Value>,
    #[serde(default)]
    pub(crate) eos_token_id: Option<Value>,
}

/// How one kind of layer rotates.
#[derive(Debug, Default, Deserialize)]
struct RopeParameters {
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_type: Option<String>,
    /// What `rope_type` was called before.
    #[serde(default, rename = "type")]
    former_type: Option<String>,
    #[serde(default)]
    factor: Option<f64>,
    #[serde(default)]
    low_freq_factor: Option<f64>,
    #[serde(default)]
    high_freq_factor: Option<f64>,
    #[serde(default)]
    original_max_position_embeddings: Option<f64>,
    #[serde(default)]
    partial_rotary_factor: Option<f64>,
}

impl Decoder {
    /// Reads and checks a description.
    pub(crate) fn from_config(config: &ModelConfig) -> Result<Self, DecoderError> {
        let family =
            Family::of_config(&config.model_type).ok_or_else(|| DecoderError::Architecture {
                found: config.model_type.clone(),
            })?;
        config.refuse_unknown_features()?;
        let architecture = config.architecture()?;
        let (rotation, window_rotation) = config.rotations(family, architecture.head_size)?;
        Ok(Self {
            family,
            feed_forward_size: config.need("intermediate_size", config.intermediate_size)?,
            epsilon: config.epsilon()?,
            attention_scale: config.attention_scale(family, architecture.head_size),
            activation: config.activation(family)?,
            rotation,
            window_rotation,
            windows: config.windows(family, architecture.layers)?,
            attention_soft_cap: soft_cap(config.attn_logit_softcapping),
            logit_soft_cap: soft_cap(config.final_logit_softcapping),
            norm_offset: if family.is_gemma() { 1.0 } else { 0.0 },
            needs_head: config.tie_word_embeddings == Some(false),
            has_interleaved_heads: false,
            names: Names::Transformers(family),
            architecture,
        })
    }
}

impl ModelConfig {
    /// The numbers that every decoder has, whatever its family.
    pub(crate) fn architecture(&self) -> Result<Architecture, DecoderError> {
        let hidden_size = self.need("hidden_size", self.hidden_size)?;
        let heads = self.need("num_attention_heads", self.num_attention_heads)?;
        let architecture = Architecture {
            layers: self.need("num_hidden_layers", self.num_hidden_layers)?,
            hidden_size,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads).max(1),
            head_size: self.head_dim.unwrap_or(hidden_size / heads),
            vocabulary_size: self.need("vocab_size", self.vocab_size)?,
            context_length: self.need("max_position_embeddings", self.max_position_embeddings)?,
        };
        check_architecture(&architecture, |field| {
            let field = match field {
                "kv_heads" => "num_key_value_heads",
                _ => "head_dim",
            };
            format!("field {field} of config.json")
        })?;
        Ok(architecture)
    }

    fn need(&self, field: &'static str, value: Option<usize>) -> Result<usize, DecoderError> {
        const LARGEST: usize = 1 << 24;
        match value {
            Some(value @ 1..=LARGEST) => Ok(value),
            Some(value) => Err(impossible(field, value, "it must be from 1 to 16777216")),
            None => Err(self.missing(field)),
        }
    }

    fn missing(&self, field: &'static str) -> DecoderError {
        DecoderError::MissingField {
            field,
            model_type: self.model_type.clone(),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the runtime's operators take 32 bit floats"
    )]
    fn epsilon(&self) -> Result<f32, DecoderError> {
        let value = self
            .rms_norm_eps
            .ok_or_else(|| self.missing("rms_norm_eps"))?;
        if value > 0.0 && value < 1.0 {
            return Ok(value as f32);
        }
        Err(impossible(
            "rms_norm_eps",
            value,
            "it must lie between 0 and 1",
        ))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the runtime's operators take 32 bit floats"
    )]
    fn attention_scale(&self, family: Family, head_size: usize) -> f32 {
        match self.query_pre_attn_scalar {
            Some(scalar) if matches!(family, Family::Gemma2 | Family::Gemma3) => {
                (1.0 / scalar.sqrt()) as f32
            }
            _ => scale_of(head_size),
        }
    }

    fn activation(&self, family: Family) -> Result<Activation, DecoderError> {
        // The first Gemma files name one activation and mean another, which the second field then sets right.
        let (field, found) = match (&self.hidden_activation, &self.hidden_act) {
            (Some(found), _) => ("hidden_activation", found.as_str()),
            (None, _) if family.is_gemma() => return Ok(Activation::GeluTanh),
            (None, Some(found)) => ("hidden_act", found.as_str()),
            (None, None) => return Ok(Activation::Silu),
        };
        match found {
            "silu" => Ok(Activation::Silu),
            "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            other => Err(DecoderError::Feature {
                feature: "an activation that our graph does not know",
                origin: format!("{field} = {other:?}"),
            }),
        }
    }

    fn rotations(
        &self,
        family: Family,
        head_size: usize,
    ) -> Result<(Rotation, Option<Rotation>), DecoderError> {
        let (full, windowed) = self.rope_parameters()?;
        let default = match family {
            Family::Gemma3 => DEFAULT_GEMMA3_BASE,
            _ => DEFAULT_ROPE_BASE,
        };
        let base = full.rope_theta.or(self.rope_theta).unwrap_or(default);
        let rotation = full.apply(Rotation::new(base, head_size))?;
        if family != Family::Gemma3 {
            return Ok((rotation, None));
        }
        let base = windowed.rope_theta.or(self.rope_local_base_freq);
        let in_windows = Rotation::new(base.unwrap_or(DEFAULT_ROPE_BASE), head_size);
        Ok((rotation, Some(windowed.apply(in_windows)?)))
    }

    /// Those of layers that see everything, and of layers with a window. Older files have one for both.
    fn rope_parameters(&self) -> Result<(RopeParameters, RopeParameters), DecoderError> {
        let parse = |field: &'static str, value: &Value| {
            RopeParameters::deserialize(value)
                .map_err(|error| impossible(field, error, "it is no description of a rotation"))
        };
        match (&self.rope_parameters, &self.rope_scaling) {
            (Some(kinds), _) if kinds.get(FULL).is_some() => {
                let kind = |kind| match kinds.get(kind) {
                    Some(value) => parse("rope_parameters", value),
                    None => Ok(RopeParameters::default()),
                };
                Ok((kind(FULL)?, kind(WINDOWED)?))
            }
            (Some(value), _) => Ok((parse("rope_parameters", value)?, RopeParameters::default())),
            (None, Some(value)) => Ok((parse("rope_scaling", value)?, RopeParameters::default())),
            (None, None) => Ok(<(RopeParameters, RopeParameters)>::default()),
        }
    }

    fn windows(&self, family: Family, layers: usize) -> Result<Vec<Option<usize>>, DecoderError> {
        let window = match (family, self.sliding_window) {
            (Family::Llama | Family::Gemma, _) => None,
            (Family::Mistral, window) => window,
            (Family::Qwen2 | Family::Qwen3, window) => {
                window.filter(|_| self.use_sliding_window == Some(true))
            }
            (Family::Gemma2 | Family::Gemma3, window) => Some(window.unwrap_or(DEFAULT_WINDOW)),
        };
        let Some(window) = window else {
            return Ok(vec![None; layers]);
        };
        if window == 0 {
            return Err(impossible("sliding_window", 0, "it must not be zero"));
        }
        if let Some(types) = &self.layer_types {
            return layer_windows(types, layers, window);
        }
        Ok(match family {
            Family::Gemma2 => alternating_windows(layers, window, GEMMA2_PATTERN),
            Family::Gemma3 => {
                let pattern = self.sliding_window_pattern.unwrap_or(GEMMA3_PATTERN);
                alternating_windows(layers, window, pattern.max(1))
            }
            Family::Qwen2 | Family::Qwen3 => {
                let first = self.max_window_layers.unwrap_or(0);
                (0..layers)
                    .map(|layer| (layer >= first).then_some(window))
                    .collect()
            }
            Family::Llama | Family::Mistral | Family::Gemma => vec![Some(window); layers],
        })
    }

    fn refuse_unknown_features(&self) -> Result<(), DecoderError> {
        let refuse = |feature, origin: String| Err(DecoderError::Feature { feature, origin });
        if let Some(quantization) = &self.quantization_config {
            let method = quantization.get("quant_method").unwrap_or(&Value::Null);
            return refuse(
                "weights that are quantized already",
                format!(
                    "quantization_config.quant_method = {method}; import the unquantized model"
                ),
            );
        }
        if let Some(factor) = self.partial_rotary_factor
            && factor < 1.0
        {
            return refuse(
                "a rotation of a part of each head",
                format!("partial_rotary_factor = {factor}"),
            );
        }
        if self.use_bidirectional_attention == Some(true) {
            return refuse(
                "attention to later tokens",
                "use_bidirectional_attention = true".to_owned(),
            );
        }
        Ok(())
    }
}

impl RopeParameters {
    fn apply(&self, rotation: Rotation) -> Result<Rotation, DecoderError> {
        if let Some(factor) = self.partial_rotary_factor
            && factor < 1.0
        {
            return Err(DecoderError::Feature {
                feature: "a rotation of a part of each head",
                origin: format!("partial_rotary_factor = {factor}"),
            });
        }
        let need = |field: &'static str, value: Option<f64>| match value {
            Some(value) if value > 0.0 => Ok(value),
            Some(value) => Err(impossible(field, value, "it must be more than 0")),
            None => Err(impossible(
                field,
                "absent",
                "this kind of rotation needs it",
            )),
        };
        match self.rope_type.as_deref().or(self.former_type.as_deref()) {
            None | Some("default") => Ok(rotation),
            Some("linear") => Ok(rotation.slowed(need("rope factor", self.factor)?)),
            Some("llama3") => Ok(rotation.stretched(Llama3Scaling {
                factor: need("rope factor", self.factor)?,
                low_frequency_factor: need("rope low_freq_factor", self.low_freq_factor)?,
                high_frequency_factor: need("rope high_freq_factor", self.high_freq_factor)?,
                original_context: need(
                    "rope original_max_position_embeddings",
                    self.original_max_position_embeddings,
                )?,
            })),
            Some(other) => Err(DecoderError::Feature {
                feature: "a scaled rotary embedding",
                origin: format!("rope_type = {other:?}; \"linear\" and \"llama3\" are supported"),
            }),
        }
    }
}

fn layer_windows(
    types: &[String],
    layers: usize,
    window: usize,
) -> Result<Vec<Option<usize>>, DecoderError> {
    if types.len() != layers {
        let problem = "it must have an entry for every layer";
        return Err(impossible(
            "layer_types",
            format!("{} entries long", types.len()),
            problem,
        ));
    }
    let window_of = |kind: &String| match kind.as_str() {
        WINDOWED => Ok(Some(window)),
        FULL => Ok(None),
        other => Err(DecoderError::Feature {
            feature: "a layer that our graph does not know",
            origin: format!("layer_types has {other:?}"),
        }),
    };
    types.iter().map(window_of).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the runtime's operators take 32 bit floats"
)]
fn soft_cap(cap: Option<f64>) -> Option<f32> {
    cap.filter(|cap| *cap > 0.0).map(|cap| cap as f32)
}

fn impossible(field: &str, found: impl Display, problem: &'static str) -> DecoderError {
    DecoderError::Impossible {
        field: format!("field {field} of config.json"),
        found: found.to_string(),
        problem,
    }
}
