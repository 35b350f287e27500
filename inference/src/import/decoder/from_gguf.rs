//! A decoder from the metadata of a GGUF file.

use std::fmt::Display;

use super::{
    Activation, Architecture, Decoder, DecoderError, Family, Names, Rotation, alternating_windows,
    check_architecture, scale_of,
};
use crate::import::gguf::{Metadata, MetadataError};

const DEFAULT_ROPE_BASE: f64 = 10_000.0;
/// The largest number that makes sense for any dimension; it keeps products of two within range.
const LARGEST: u32 = 1 << 24;
/// Of Gemma 2's layers, every second sees everything.
const GEMMA2_PATTERN: usize = 2;
const GEMMA3_PATTERN: usize = 6;

/// The keys of one architecture.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl Decoder {
    /// Reads and checks a file's description.
    pub(crate) fn from_gguf(
        metadata: &Metadata,
        vocabulary_size: usize,
    ) -> Result<Self, DecoderError> {
        let found = metadata.string("general.architecture")?;
        let family = Family::of_gguf(found).ok_or_else(|| DecoderError::Architecture {
            found: found.to_owned(),
        })?;
        let keys = Keys {
            metadata,
            prefix: family.name(),
        };
        keys.refuse_unknown_features(family)?;
        let architecture = keys.architecture(vocabulary_size)?;
        let (rotation, window_rotation) = keys.rotations(family, architecture.head_size)?;
        Ok(Self {
            family,
            feed_forward_size: keys.positive("feed_forward_length")?,
            epsilon: keys.epsilon()?,
            attention_scale: attention_scale(family, &architecture),
            activation: if family.is_gemma() {
                Activation::GeluTanh
            } else {
                Activation::Silu
            },
            rotation,
            window_rotation,
            windows: keys.windows(family, architecture.layers)?,
            attention_soft_cap: keys.soft_cap(family, "attn_logit_softcapping")?,
            logit_soft_cap: keys.soft_cap(family, "final_logit_softcapping")?,
            norm_offset: 0.0,
            needs_head: false,
            has_interleaved_heads: family == Family::Llama,
            names: Names::Gguf,
            architecture,
        })
    }
}

/// The largest models of two families scale by the width of the model, which their files do not say.
fn attention_scale(family: Family, architecture: &Architecture) -> f32 {
    match (family, architecture.layers) {
        (Family::Gemma2, 46) | (Family::Gemma3, 62) => {
            scale_of(architecture.hidden_size / architecture.heads)
        }
        _ => scale_of(architecture.head_size),
    }
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn architecture(&self, vocabulary_size: usize) -> Result<Architecture, DecoderError> {
        let hidden_size = self.positive("embedding_length")?;
        let heads = self.positive("attention.head_count")?;
        let kv_heads = match self.metadata.get(&self.key("attention.head_count_kv")) {
            Some(_) => self.positive("attention.head_count_kv")?,
            None => heads,
        };
        let architecture = Architecture {
            layers: self.positive("block_count")?,
            hidden_size,
            heads,
            kv_heads,
            head_size: self.head_size(hidden_size, heads)?,
            vocabulary_size,
            context_length: self.positive("context_length")?,
        };
        check_architecture(&architecture, |field| {
            format!(
                "metadata key {}",
                self.key(match field {
                    "kv_heads" => "attention.head_count_kv",
                    _ => "attention.key_length",
                })
            )
        })?;
        Ok(architecture)
    }

    fn positive(&self, name: &str) -> Result<usize, DecoderError> {
        let key = self.key(name);
        let value = self.metadata.u32(&key)?;
        let problem = if value == 0 {
            "it must not be zero"
        } else {
            "it is too large"
        };
        match usize::try_from(value) {
            Ok(size) if (1..=LARGEST).contains(&value) => Ok(size),
            _ => Err(impossible(&key, value, problem)),
        }
    }

    fn head_size(&self, hidden_size: usize, heads: usize) -> Result<usize, DecoderError> {
        let size = match self.metadata.get(&self.key("attention.key_length")) {
            Some(_) => self.positive("attention.key_length")?,
            None => hidden_size / heads,
        };
        for (name, feature) in [
            ("attention.value_length", "values of another size than keys"),
            ("rope.dimension_count", "a rotation of a part of each head"),
        ] {
            let key = self.key(name);
            if let Some(other) = self.metadata.optional_u32(&key)?
                && usize::try_from(other) != Ok(size)
            {
                return Err(DecoderError::Feature {
                    feature,
                    origin: format!("{key} = {other}"),
                });
            }
        }
        Ok(size)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the file holds a 32 bit float, which was widened"
    )]
    fn epsilon(&self) -> Result<f32, DecoderError> {
        let key = self.key("attention.layer_norm_rms_epsilon");
        let value = self.number(&key)?;
        if value > 0.0 && value < 1.0 {
            return Ok(value as f32);
        }
        Err(impossible(&key, value, "it must lie between 0 and 1"))
    }

    fn number(&self, key: &str) -> Result<f64, DecoderError> {
        let missing = || MetadataError::Missing {
            key: key.to_owned(),
        };
        Ok(self.metadata.optional_f64(key)?.ok_or_else(missing)?)
    }

    fn rotations(
        &self,
        family: Family,
        head_size: usize,
    ) -> Result<(Rotation, Option<Rotation>), DecoderError> {
        let base_of = |name: &str| self.metadata.optional_f64(&self.key(name));
        let base = base_of("rope.freq_base")?.unwrap_or(DEFAULT_ROPE_BASE);
        let mut rotation = Rotation::new(base, head_size);
        let key = self.key("rope.scaling.type");
        match self.metadata.optional_string(&key)? {
            None | Some("none") => {}
            Some("linear") => {
                let key = self.key("rope.scaling.factor");
                let factor = self.number(&key)?;
                if factor < 1.0 {
                    return Err(impossible(&key, factor, "it must not be below 1"));
                }
                rotation = rotation.slowed(factor);
            }
            Some(other) => {
                return Err(DecoderError::Feature {
                    feature: "a scaled rotary embedding",
                    origin: format!("{key} = {other}"),
                });
            }
        }
        let in_windows = match family {
            Family::Gemma3 => {
                let base = base_of("rope.freq_base_swa")?.unwrap_or(DEFAULT_ROPE_BASE);
                Some(Rotation::new(base, head_size))
            }
            _ => None,
        };
        Ok((rotation, in_windows))
    }

    fn windows(&self, family: Family, layers: usize) -> Result<Vec<Option<usize>>, DecoderError> {
        let pattern = match family {
            Family::Gemma2 => GEMMA2_PATTERN,
            Family::Gemma3 => GEMMA3_PATTERN,
            _ => return Ok(vec![None; layers]),
        };
        let window = self.positive("attention.sliding_window")?;
        Ok(alternating_windows(layers, window, pattern))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the file holds a 32 bit float, which was widened"
    )]
    fn soft_cap(&self, family: Family, name: &str) -> Result<Option<f32>, DecoderError> {
        if family != Family::Gemma2 {
            return Ok(None);
        }
        let key = self.key(name);
        let cap = self.number(&key)?;
        if cap > 0.0 {
            return Ok(Some(cap as f32));
        }
        Err(impossible(&key, cap, "it must be more than 0"))
    }

    fn refuse_unknown_features(&self, family: Family) -> Result<(), DecoderError> {
        let has_windows = matches!(family, Family::Gemma2 | Family::Gemma3);
        for (name, feature) in [
            ("expert_count", "a mixture of experts"),
            ("attention.sliding_window", "a sliding attention window"),
        ] {
            let key = self.key(name);
            if let Some(value @ 1..) = self.metadata.optional_u32(&key)?
                && !(has_windows && name == "attention.sliding_window")
            {
                return Err(DecoderError::Feature {
                    feature,
                    origin: format!("{key} = {value}"),
                });
            }
        }
        let soft_caps = ["attn_logit_softcapping", "final_logit_softcapping"];
        let unknown = [
            "attention.scale",
            "rope.scale_linear",
            "attention.logit_softcapping",
        ];
        let unknown = unknown
            .iter()
            .chain(soft_caps.iter().filter(|_| family != Family::Gemma2));
        for name in unknown {
            let key = self.key(name);
            if self.metadata.get(&key).is_some() {
                return Err(DecoderError::Feature {
                    feature: "a setting that our graph does not know",
                    origin: key,
                });
            }
        }
        Ok(())
    }
}

fn impossible(key: &str, found: impl Display, problem: &'static str) -> DecoderError {
    DecoderError::Impossible {
        field: format!("metadata key {key}"),
        found: found.to_string(),
        problem,
    }
}
