//! The graph's inputs and outputs, and the table of rotations.

use std::io::{Read, Seek};

use super::{Builder, GraphError};
use crate::import::{
    llama::Llama,
    onnx::{ElementType, Size},
};

impl<R: Read + Seek> Builder<'_, R> {
    /// Inputs, outputs, and the constants that no weight stands for.
    pub(super) fn declare(&mut self) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let batch = Size::Named("batch_size");
        self.writer.input(
            "input_ids",
            ElementType::Int64,
            &[batch, Size::Named("sequence_length")],
        );
        self.writer.input("seqlens_k", ElementType::Int32, &[batch]);
        self.writer
            .input("total_sequence_length", ElementType::Int32, &[]);
        let wanted = Size::Named("logits_length");
        self.writer
            .input("logits_index", ElementType::Int64, &[batch, wanted]);
        self.writer.output(
            "logits",
            ElementType::Float,
            &[batch, wanted, Size::Fixed(shape.vocabulary_size)],
        );
        let cache = |length| {
            [
                batch,
                Size::Fixed(shape.kv_heads),
                Size::Named(length),
                Size::Fixed(shape.head_size),
            ]
        };
        for layer in 0..shape.layers {
            for part in ["key", "value"] {
                let past = format!("past_key_values.{layer}.{part}");
                self.writer
                    .input(&past, ElementType::Float, &cache("past_sequence_length"));
                let present = format!("present.{layer}.{part}");
                self.writer.output(
                    &present,
                    ElementType::Float,
                    &cache("present_sequence_length"),
                );
            }
        }
        let table = [shape.context_length, shape.head_size / 2];
        self.writer
            .floats("cos_cache", &table, self.llama.rotations(f64::cos))?;
        self.writer
            .floats("sin_cache", &table, self.llama.rotations(f64::sin))?;
        Ok(())
    }
}

impl Llama {
    /// A function of every rotation angle, position by position.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the table holds 32 bit floats; angles are computed wider so that large positions stay exact"
    )]
    fn rotations(&self, function: fn(f64) -> f64) -> impl Iterator<Item = f32> {
        let (positions, size) = (
            self.architecture.context_length,
            self.architecture.head_size,
        );
        let frequency = |pair: usize| 1.0 / self.rope_base.powf((2 * pair) as f64 / size as f64);
        let frequencies: Vec<f64> = (0..size / 2).map(frequency).collect();
        (0..positions).flat_map(move |position| {
            let angles: Vec<f32> = frequencies
                .iter()
                .map(|frequency| function(position as f64 * frequency) as f32)
                .collect();
            angles
        })
    }
}
