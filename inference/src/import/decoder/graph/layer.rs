//! One transformer layer: attention, then the feed-forward network.

use super::{Builder, GraphError, inputs::WINDOWED, linear::Linear, to_i64};
use crate::import::{
    decoder::Activation,
    onnx::{CONTRIB, STANDARD, Setting},
};

impl Builder<'_> {
    pub(super) fn attention(&mut self, layer: usize) -> Result<(), GraphError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let attended = name("attn_out");
        let heads = self.queries_keys_values(layer)?;
        self.attend(layer, [&heads[0], &heads[1], &heads[2]], &attended);
        let shape = self.decoder.architecture.clone();
        let (hidden, query) = (shape.hidden_size, shape.heads * shape.head_size);
        let weights = vec![self.weight(&name("attn_output.weight"), hidden, query)?];
        let output = name("o_out");
        self.linear(&Linear {
            input: &attended,
            output: &output,
            name: &name("o"),
            weights,
            biases: vec![name("attn_output.bias")],
        })?;
        let output = self.output_norm(output, &name("post_attention_norm.weight"))?;
        let residual = (format!("residual.{layer}"), name("residual"));
        self.add_and_norm(
            [&residual.0, &output],
            &name("ffn_norm.weight"),
            &name("ffn_in"),
            &residual.1,
        )
    }

    /// The names of what attention takes: all three in one, or each of them, its heads normalized.
    fn queries_keys_values(&mut self, layer: usize) -> Result<[String; 3], GraphError> {
        let shape = self.decoder.architecture.clone();
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, query, kv) = (
            shape.hidden_size,
            shape.heads * shape.head_size,
            shape.kv_heads * shape.head_size,
        );
        let mut weights = vec![
            self.weight(&name("attn_q.weight"), query, hidden)?,
            self.weight(&name("attn_k.weight"), kv, hidden)?,
            self.weight(&name("attn_v.weight"), kv, hidden)?,
        ];
        if self.decoder.has_interleaved_heads {
            let values = weights.pop();
            weights = weights
                .into_iter()
                .map(|weight| weight.with_deinterleaved_heads(shape.head_size))
                .chain(values)
                .collect();
        }
        let joined = name("qkv_out");
        self.linear(&Linear {
            input: &name("attn_in"),
            output: &joined,
            name: &name("qkv"),
            weights,
            biases: ["attn_q.bias", "attn_k.bias", "attn_v.bias"]
                .map(name)
                .to_vec(),
        })?;
        if !self.decoder.family.has_head_norms() {
            return Ok([joined, String::new(), String::new()]);
        }
        let parts = ["q_out", "k_out", "v_out"].map(name);
        let sizes = name("qkv_sizes");
        self.writer
            .integers(&sizes, &[3], &[query, kv, kv].map(to_i64))?;
        self.operator(
            "Split",
            STANDARD,
            &[&joined, &sizes],
            &[&parts[0], &parts[1], &parts[2]],
            &[("axis", Setting::Int(-1))],
        );
        let [queries, keys, values] = parts;
        Ok([
            self.head_norm(&queries, &name("attn_q_norm.weight"), shape.heads)?,
            self.head_norm(&keys, &name("attn_k_norm.weight"), shape.kv_heads)?,
            values,
        ])
    }

    /// Normalizes every head of its own.
    fn head_norm(&mut self, input: &str, norm: &str, heads: usize) -> Result<String, GraphError> {
        let head_size = self.decoder.architecture.head_size;
        let (shape, joined) = (format!("{input}_heads"), format!("{input}_joined"));
        // 0 keeps a dimension as it is.
        self.writer
            .integers(&shape, &[4], &[0, 0, to_i64(heads), to_i64(head_size)])?;
        self.writer
            .integers(&joined, &[3], &[0, 0, to_i64(heads * head_size)])?;
        let [split, normalized, output] =
            ["split", "normalized", "normed"].map(|step| format!("{input}_{step}"));
        self.compute("Reshape", &[input, &shape], &split);
        self.norm(&split, norm, &normalized, head_size)?;
        self.compute("Reshape", &[&normalized, &joined], &output);
        Ok(output)
    }

    fn attend(&mut self, layer: usize, [queries, keys, values]: [&str; 3], output: &str) {
        let decoder = self.decoder;
        let window = decoder.windows[layer];
        let suffix = match (window, &decoder.window_rotation) {
            (Some(_), Some(_)) => WINDOWED,
            _ => "",
        };
        let past = ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"));
        let present = ["key", "value"].map(|part| format!("present.{layer}.{part}"));
        let inputs = [
            queries,
            keys,
            values,
            &past[0],
            &past[1],
            "seqlens_k",
            "total_sequence_length",
            &format!("cos_cache{suffix}"),
            &format!("sin_cache{suffix}"),
        ];
        let shape = &decoder.architecture;
        let mut settings = vec![
            ("num_heads", Setting::Int(to_i64(shape.heads))),
            ("kv_num_heads", Setting::Int(to_i64(shape.kv_heads))),
            ("scale", Setting::Float(decoder.attention_scale)),
            ("do_rotary", Setting::Int(1)),
            ("rotary_interleaved", Setting::Int(0)),
        ];
        settings.extend(
            decoder
                .attention_soft_cap
                .map(|cap| ("softcap", Setting::Float(cap))),
        );
        settings.extend(window.map(|tokens| ("local_window_size", Setting::Int(to_i64(tokens)))));
        self.operator(
            "GroupQueryAttention",
            CONTRIB,
            &inputs,
            &[output, &present[0], &present[1]],
            &settings,
        );
    }

    pub(super) fn feed_forward(&mut self, layer: usize) -> Result<(), GraphError> {
        let (hidden, inner) = (
            self.decoder.architecture.hidden_size,
            self.decoder.feed_forward_size,
        );
        let name = |part: &str| format!("blk.{layer}.{part}");
        // One product instead of two over the same input: one task fewer to share among threads, for every layer.
        let weights = vec![
            self.weight(&name("ffn_gate.weight"), inner, hidden)?,
            self.weight(&name("ffn_up.weight"), inner, hidden)?,
        ];
        let (both, gate, up) = (name("gate_up_out"), name("gate_out"), name("up_out"));
        self.linear(&Linear {
            input: &name("ffn_in"),
            output: &both,
            name: &name("gate_up"),
            weights,
            biases: vec![name("ffn_gate.bias"), name("ffn_up.bias")],
        })?;
        let halves = [("axis", Setting::Int(-1)), ("num_outputs", Setting::Int(2))];
        self.operator("Split", STANDARD, &[&both], &[&gate, &up], &halves);
        let (activated, gated) = (name("activated"), name("gated"));
        self.activate(&gate, &activated, &name("sigmoid"));
        self.compute("Mul", &[&activated, &up], &gated);
        let weights = vec![self.weight(&name("ffn_down.weight"), hidden, inner)?];
        let output = name("down_out");
        self.linear(&Linear {
            input: &gated,
            output: &output,
            name: &name("down"),
            weights,
            biases: vec![name("ffn_down.bias")],
        })?;
        let output = self.output_norm(output, &name("post_ffw_norm.weight"))?;
        let next = layer + 1;
        let (norm, normalized, residual) = if next == self.decoder.architecture.layers {
            (
                "output_norm.weight".to_owned(),
                "final".to_owned(),
                String::new(),
            )
        } else {
            (
                format!("blk.{next}.attn_norm.weight"),
                format!("blk.{next}.attn_in"),
                format!("residual.{next}"),
            )
        };
        self.add_and_norm([&name("residual"), &output], &norm, &normalized, &residual)
    }

    fn activate(&mut self, input: &str, output: &str, sigmoid: &str) {
        match self.decoder.activation {
            Activation::Silu => {
                self.compute("Sigmoid", &[input], sigmoid);
                self.compute("Mul", &[input, sigmoid], output);
            }
            Activation::GeluTanh => {
                let approximate = [("approximate", Setting::Text("tanh"))];
                self.operator("Gelu", STANDARD, &[input], &[output], &approximate);
            }
        }
    }

    /// Normalizes what a part of the layer gives, in families that do.
    fn output_norm(&mut self, output: String, norm: &str) -> Result<String, GraphError> {
        if !self.decoder.family.has_output_norms() {
            return Ok(output);
        }
        let normalized = format!("{output}_normed");
        let hidden = self.decoder.architecture.hidden_size;
        self.norm(&output, norm, &normalized, hidden)?;
        Ok(normalized)
    }
}
