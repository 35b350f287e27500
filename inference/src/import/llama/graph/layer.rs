//! One transformer layer: attention, then the feed-forward network.

use std::io::{Read, Seek};

use super::{Builder, GraphError, linear::Linear, to_i64};
use crate::import::onnx::{CONTRIB, STANDARD, Setting};

impl<R: Read + Seek> Builder<'_, R> {
    pub(super) fn attention(&mut self, layer: usize) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, query, kv) = (
            shape.hidden_size,
            shape.heads * shape.head_size,
            shape.kv_heads * shape.head_size,
        );
        let weights = vec![
            self.weight(&name("attn_q.weight"), query, hidden)?
                .with_deinterleaved_heads(shape.head_size),
            self.weight(&name("attn_k.weight"), kv, hidden)?
                .with_deinterleaved_heads(shape.head_size),
            self.weight(&name("attn_v.weight"), kv, hidden)?,
        ];
        let (qkv, attended) = (name("qkv_out"), name("attn_out"));
        self.linear(&Linear {
            input: &name("attn_in"),
            output: &qkv,
            name: &name("qkv"),
            weights,
        })?;
        let past = ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"));
        let present = ["key", "value"].map(|part| format!("present.{layer}.{part}"));
        let inputs = [
            &qkv,
            "",
            "",
            &past[0],
            &past[1],
            "seqlens_k",
            "total_sequence_length",
            "cos_cache",
            "sin_cache",
        ];
        let settings = [
            ("num_heads", Setting::Int(to_i64(shape.heads))),
            ("kv_num_heads", Setting::Int(to_i64(shape.kv_heads))),
            ("scale", Setting::Float(attention_scale(shape.head_size))),
            ("do_rotary", Setting::Int(1)),
            ("rotary_interleaved", Setting::Int(0)),
        ];
        self.operator(
            "GroupQueryAttention",
            CONTRIB,
            &inputs,
            &[&attended, &present[0], &present[1]],
            &settings,
        );
        let weights = vec![self.weight(&name("attn_output.weight"), hidden, query)?];
        let (output, normalized) = (name("o_out"), name("ffn_in"));
        self.linear(&Linear {
            input: &attended,
            output: &output,
            name: &name("o"),
            weights,
        })?;
        let residual = (format!("residual.{layer}"), name("residual"));
        self.add_and_norm(
            [&residual.0, &output],
            &name("ffn_norm.weight"),
            &normalized,
            &residual.1,
        )
    }

    pub(super) fn feed_forward(&mut self, layer: usize) -> Result<(), GraphError> {
        let (hidden, inner) = (
            self.llama.architecture.hidden_size,
            self.llama.feed_forward_size,
        );
        let name = |part: &str| format!("blk.{layer}.{part}");
        let input = name("ffn_in");
        // One product instead of two over the same input: one task fewer to share among threads, for every layer.
        let weights = vec![
            self.weight(&name("ffn_gate.weight"), inner, hidden)?,
            self.weight(&name("ffn_up.weight"), inner, hidden)?,
        ];
        let (both, gate, up) = (name("gate_up_out"), name("gate_out"), name("up_out"));
        self.linear(&Linear {
            input: &input,
            output: &both,
            name: &name("gate_up"),
            weights,
        })?;
        let halves = [("axis", Setting::Int(-1)), ("num_outputs", Setting::Int(2))];
        self.operator("Split", STANDARD, &[&both], &[&gate, &up], &halves);
        let (sigmoid, silu, gated) = (name("sigmoid"), name("silu"), name("gated"));
        self.operator("Sigmoid", STANDARD, &[&gate], &[&sigmoid], &[]);
        self.operator("Mul", STANDARD, &[&gate, &sigmoid], &[&silu], &[]);
        self.operator("Mul", STANDARD, &[&silu, &up], &[&gated], &[]);
        let weights = vec![self.weight(&name("ffn_down.weight"), hidden, inner)?];
        let output = name("down_out");
        self.linear(&Linear {
            input: &gated,
            output: &output,
            name: &name("down"),
            weights,
        })?;
        let next = layer + 1;
        let (norm, normalized, residual) = if next == self.llama.architecture.layers {
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
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "heads have a few hundred values at most"
)]
fn attention_scale(head_size: usize) -> f32 {
    (1.0 / (head_size as f64).sqrt()) as f32
}
