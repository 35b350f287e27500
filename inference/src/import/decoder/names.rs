//! The names of tensors. The graph uses those of GGUF; this is what other files call them.

use super::Family;

/// How a file names its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As GGUF does: `blk.0.attn_q.weight`.
    Gguf,
    /// As the transformers library does for a family: `model.layers.0.self_attn.q_proj.weight`.
    Transformers(Family),
}

impl Names {
    /// The name in the file of a tensor of the graph.
    pub(crate) fn in_file(self, name: &str) -> String {
        let Self::Transformers(family) = self else {
            return name.to_owned();
        };
        let Some((layer, part)) = name
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
        else {
            let name = match name {
                "token_embd.weight" => "model.embed_tokens.weight",
                "output_norm.weight" => "model.norm.weight",
                "output.weight" => "lm_head.weight",
                other => other,
            };
            return name.to_owned();
        };
        let (part, suffix) = part.rsplit_once('.').unwrap_or((part, ""));
        let part = match part {
            "attn_norm" => "input_layernorm",
            "attn_q" => "self_attn.q_proj",
            "attn_k" => "self_attn.k_proj",
            "attn_v" => "self_attn.v_proj",
            "attn_output" => "self_attn.o_proj",
            "attn_q_norm" => "self_attn.q_norm",
            "attn_k_norm" => "self_attn.k_norm",
            // Where a norm stands behind attention, too, the one before the network has another name.
            "ffn_norm" if family.has_output_norms() => "pre_feedforward_layernorm",
            "ffn_norm" | "post_attention_norm" => "post_attention_layernorm",
            "post_ffw_norm" => "post_feedforward_layernorm",
            "ffn_gate" => "mlp.gate_proj",
            "ffn_up" => "mlp.up_proj",
            "ffn_down" => "mlp.down_proj",
            other => other,
        };
        format!("model.layers.{layer}.{part}.{suffix}")
    }

    /// Whether a tensor only repeats what follows from the model's numbers.
    pub(crate) fn is_derived(self, name: &str) -> bool {
        self != Self::Gguf && name.ends_with(".rotary_emb.inv_freq")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_gguf_are_kept() {
        assert_eq!(
            Names::Gguf.in_file("blk.3.attn_q.weight"),
            "blk.3.attn_q.weight"
        );
    }

    #[test]
    fn names_of_transformers_depend_on_the_family() {
        let llama = Names::Transformers(Family::Llama);
        assert_eq!(
            llama.in_file("blk.12.attn_q.bias"),
            "model.layers.12.self_attn.q_proj.bias"
        );
        assert_eq!(llama.in_file("output.weight"), "lm_head.weight");
        assert_eq!(
            llama.in_file("blk.0.ffn_norm.weight"),
            "model.layers.0.post_attention_layernorm.weight"
        );
        assert_eq!(
            Names::Transformers(Family::Gemma2).in_file("blk.0.ffn_norm.weight"),
            "model.layers.0.pre_feedforward_layernorm.weight"
        );
    }
}
