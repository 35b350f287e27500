//! The graph's inputs and outputs, and the table of rotations.

use super::{Builder, GraphError};
use crate::{
    import::{
        decoder::Rotation,
        onnx::{ElementType, Size},
    },
    model_dir::Architecture,
};

/// Ends the names of the tables for layers with a window, where those have their own.
pub(super) const WINDOWED: &str = "_windowed";
/// What GGUF files of stretched models hold instead of the numbers that the factors follow from.
const ROTATION_FACTORS: &str = "rope_freqs.weight";

impl Builder<'_> {
    /// Inputs, outputs, and the constants that no weight stands for.
    pub(super) fn declare(&mut self) -> Result<(), GraphError> {
        let shape = self.decoder.architecture.clone();
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
        if self.find(ROTATION_FACTORS).is_some() {
            let factors = self.read(ROTATION_FACTORS, &[shape.head_size / 2])?;
            let mut rotation = self.decoder.rotation.clone();
            rotation.slow_each(&factors.to_floats());
            self.rotations("", &rotation)?;
        } else {
            self.rotations("", &self.decoder.rotation)?;
        }
        match &self.decoder.window_rotation {
            Some(rotation) => self.rotations(WINDOWED, rotation),
            None => Ok(()),
        }
    }

    /// The tables that attention looks rotations up in.
    fn rotations(&mut self, suffix: &str, rotation: &Rotation) -> Result<(), GraphError> {
        let Architecture {
            context_length,
            head_size,
            ..
        } = self.decoder.architecture;
        let table = [context_length, head_size / 2];
        let cosines = rotation.table(context_length, f64::cos);
        self.writer
            .floats(&format!("cos_cache{suffix}"), &table, cosines)?;
        let sines = rotation.table(context_length, f64::sin);
        self.writer
            .floats(&format!("sin_cache{suffix}"), &table, sines)?;
        Ok(())
    }
}
