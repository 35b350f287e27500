//! Where tokens become vectors, and where vectors become logits.
//!
//! Both keep 8 bits where layers have 4: they decide between tens of thousands of tokens, and are read once a token.

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

impl Builder<'_> {
    pub(super) fn embed(&mut self) -> Result<(), GraphError> {
        let shape = self.decoder.architecture.clone();
        let (rows, columns) = (shape.vocabulary_size, shape.hidden_size);
        let weight = self.weight("token_embd.weight", rows, columns)?;
        let scale = self.decoder.embedding_scale();
        let output = if scale.is_some() {
            "embedded"
        } else {
            "residual.0"
        };
        match self.quantization {
            Quantization::None => {
                self.writer
                    .floats("embed", &[rows, columns], weight.to_floats().into_iter())?;
                self.compute("Gather", &["embed", "input_ids"], output);
            }
            Quantization::Int8 | Quantization::Int4 => {
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
                    &[output],
                    &settings,
                );
                self.embedding = Some(constants);
            }
        }
        if let Some(scale) = scale {
            self.scalar("embedding_scale", scale)?;
            self.compute("Mul", &["embedded", "embedding_scale"], "residual.0");
        }
        self.norm(
            "residual.0",
            "blk.0.attn_norm.weight",
            "blk.0.attn_in",
            shape.hidden_size,
        )
    }

    /// The vocabulary's logits at the wanted positions of each row.
    pub(super) fn head(&mut self) -> Result<(), GraphError> {
        self.writer.integers("last_axis", &[1], &[2])?;
        self.compute("Unsqueeze", &["logits_index", "last_axis"], "last_token");
        let batch = [("batch_dims", Setting::Int(1))];
        self.operator(
            "GatherND",
            STANDARD,
            &["final", "last_token"],
            &["final_last"],
            &batch,
        );
        let Some(cap) = self.decoder.logit_soft_cap else {
            return self.score("logits");
        };
        self.score("logits_uncapped")?;
        self.scalar("logit_cap", cap)?;
        self.compute("Div", &["logits_uncapped", "logit_cap"], "logits_divided");
        self.compute("Tanh", &["logits_divided"], "logits_bounded");
        self.compute("Mul", &["logits_bounded", "logit_cap"], "logits");
        Ok(())
    }

    fn score(&mut self, output: &str) -> Result<(), GraphError> {
        let shape = self.decoder.architecture.clone();
        let (rows, columns) = (shape.vocabulary_size, shape.hidden_size);
        if self.decoder.needs_head || self.find("output.weight").is_some() {
            let linear = Linear {
                input: "final_last",
                output,
                name: "head",
                weights: vec![self.weight("output.weight", rows, columns)?],
                biases: Vec::new(),
            };
            return match self.quantization {
                Quantization::None => self.linear(&linear),
                Quantization::Int8 | Quantization::Int4 => self.product_int8(&linear, output),
            };
        }
        // Without a head of its own the model uses the embedding again, which stays one copy on disk.
        match self.quantization {
            Quantization::None => {
                let permutation = [("perm", Setting::Ints(&[1, 0]))];
                self.operator("Transpose", STANDARD, &["embed"], &["head"], &permutation);
                self.compute("MatMul", &["final_last", "head"], output);
            }
            Quantization::Int8 | Quantization::Int4 => {
                let embedding = self
                    .embedding
                    .clone()
                    .expect("the embedding is written first");
                let block_size = embedding.block_size;
                let blocks = [rows, columns / block_size, block_size].map(to_i64);
                self.writer.integers("head.shape", &[3], &blocks)?;
                self.compute("Reshape", &["embed.q8", "head.shape"], "head.q8");
                let constants = Int8Constants {
                    values: "head.q8".to_owned(),
                    ..embedding
                };
                self.multiply_int8("final_last", output, &constants, [rows, columns]);
            }
        }
        Ok(())
    }

    fn scalar(&mut self, name: &str, value: f32) -> Result<(), GraphError> {
        Ok(self.writer.floats(name, &[], std::iter::once(value))?)
    }
}
