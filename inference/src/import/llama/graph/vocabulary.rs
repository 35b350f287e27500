//! Where tokens become vectors, and where vectors become logits.

use std::io::{Read, Seek};

use super::{
    Builder, GraphError,
    linear::{Int8Constants, Linear},
    to_i64,
};
use crate::{
    import::{
        onnx::{CONTRIB, STANDARD, Setting},
        weight::BLOCK_SIZE,
    },
    model_dir::Quantization,
};

impl<R: Read + Seek> Builder<'_, R> {
    pub(super) fn embed(&mut self) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let (rows, columns) = (shape.vocabulary_size, shape.hidden_size);
        let weight = self.weight("token_embd.weight", rows, columns)?;
        match self.quantization {
            Quantization::None => {
                self.writer
                    .floats("embed", &[rows, columns], weight.to_floats().into_iter())?;
                self.operator(
                    "Gather",
                    STANDARD,
                    &["embed", "input_ids"],
                    &["residual.0"],
                    &[],
                );
            }
            Quantization::Int8 => {
                let constants =
                    self.int8_constants("embed", &[rows, columns], BLOCK_SIZE, &[weight])?;
                let settings = [
                    ("bits", Setting::Int(8)),
                    ("block_size", Setting::Int(to_i64(constants.block_size))),
                    ("gather_axis", Setting::Int(0)),
                    ("quantize_axis", Setting::Int(1)),
                ];
                let mut inputs = vec![&*constants.values, "input_ids", &constants.scales];
                inputs.extend(constants.zero_points.as_deref());
                self.operator(
                    "GatherBlockQuantized",
                    CONTRIB,
                    &inputs,
                    &["residual.0"],
                    &settings,
                );
                self.embedding = Some(constants);
            }
        }
        self.norm_weight("blk.0.attn_norm.weight")?;
        let settings = [
            ("axis", Setting::Int(-1)),
            ("epsilon", Setting::Float(self.llama.epsilon)),
            ("stash_type", Setting::Int(1)),
        ];
        let inputs = ["residual.0", "blk.0.attn_norm.weight"];
        self.operator(
            "SimplifiedLayerNormalization",
            STANDARD,
            &inputs,
            &["blk.0.attn_in"],
            &settings,
        );
        Ok(())
    }

    /// The vocabulary's logits at the wanted positions of each row.
    pub(super) fn head(&mut self) -> Result<(), GraphError> {
        let shape = self.llama.architecture.clone();
        let (rows, columns) = (shape.vocabulary_size, shape.hidden_size);
        self.writer.integers("last_axis", &[1], &[2])?;
        self.operator(
            "Unsqueeze",
            STANDARD,
            &["logits_index", "last_axis"],
            &["last_token"],
            &[],
        );
        let batch = [("batch_dims", Setting::Int(1))];
        self.operator(
            "GatherND",
            STANDARD,
            &["final", "last_token"],
            &["final_last"],
            &batch,
        );
        if self.find("output.weight").is_some() {
            let weights = vec![self.weight("output.weight", rows, columns)?];
            return self.linear(&Linear {
                input: "final_last",
                output: "logits",
                name: "head",
                weights,
            });
        }
        // Without a head of its own the model uses the embedding again, which stays one copy on disk.
        match self.quantization {
            Quantization::None => {
                let permutation = [("perm", Setting::Ints(&[1, 0]))];
                self.operator("Transpose", STANDARD, &["embed"], &["head"], &permutation);
                self.operator(
                    "MatMul",
                    STANDARD,
                    &["final_last", "head"],
                    &["logits"],
                    &[],
                );
            }
            Quantization::Int8 => {
                let embedding = self
                    .embedding
                    .clone()
                    .expect("the embedding is written first");
                let block_size = embedding.block_size;
                let blocks = [rows, columns / block_size, block_size].map(to_i64);
                self.writer.integers("head.shape", &[3], &blocks)?;
                self.operator(
                    "Reshape",
                    STANDARD,
                    &["embed.q8", "head.shape"],
                    &["head.q8"],
                    &[],
                );
                let constants = Int8Constants {
                    values: "head.q8".to_owned(),
                    ..embedding
                };
                self.multiply_int8("final_last", "logits", &constants, [rows, columns]);
            }
        }
        Ok(())
    }
}
