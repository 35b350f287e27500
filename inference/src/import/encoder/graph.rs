//! The encoder's graph: tokens of all sequences one after the other, padded only for attention.
//!
//! Inputs are `input_ids`, `token_type_ids` (BERT alone) and `position_ids` of every token; `padded_index`, which token
//! stands at each place of the padded rows; `token_index`, the place of each token; `row_lengths`; and, for scores,
//! `first_index`, the first token of each row. The output is `last_hidden_state`, a row a token, or `logits`.

use std::{io, path::Path};

use thiserror::Error;

use super::{DATA_FILE, EncoderWeightsError, Weights};
use crate::{
    encoder::{Activation, Config, Family, Head, HubError, WEIGHTS_FILE},
    import::{
        ImportProgress, ImportStep,
        onnx::{CONTRIB, ElementType, ModelWriter, Operator, STANDARD, Setting, Size},
    },
    model_dir::GRAPH_FILE,
    session::PACKED_INPUTS,
};

/// Weights that make no difference to what we compute.
const HARMLESS: [&str; 5] = [
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "pooler.",
    "cls.",
    "lm_head.",
];

/// Why a graph could not be written.
#[derive(Debug, Error)]
pub enum EncoderGraphError {
    /// A weight is missing or wrong.
    #[error("failed to read a weight of {WEIGHTS_FILE}")]
    Weights(#[from] EncoderWeightsError),
    /// A setting that the graph does not know.
    #[error("the model has a setting that is not supported")]
    Setting(#[from] HubError),
    /// A weight that the graph has no place for.
    #[error("the tensor {name} has no place in this architecture, so the model is another one")]
    Unused {
        /// The tensor's name.
        name: String,
    },
    /// The model's files could not be written.
    #[error("failed to write the model")]
    Write(#[from] io::Error),
}

/// Writes the graph and its weights into `target`, and returns the data file's SHA-256.
pub(super) fn write(
    source: &Path,
    config: &Config,
    head: &Head,
    target: &Path,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<String, EncoderGraphError> {
    let weights = Weights::open(
        &source.join(WEIGHTS_FILE),
        &["bert.", "roberta.", "xlm_roberta."],
    )?;
    let total = weights.bytes();
    let mut builder = Builder {
        weights,
        writer: ModelWriter::create("encoder", &target.join(DATA_FILE))?,
        hidden: config.hidden_size,
        epsilon: config.layer_norm_eps,
        progress,
        total,
        done: 0,
    };
    let family = config.family(source)?;
    let activation = config.activation(source)?;
    builder.declare(family, head);
    let mut hidden = builder.embed(config, family)?;
    for layer in 0..config.num_hidden_layers {
        hidden = builder.attention(layer, config, &hidden)?;
        hidden = builder.feed_forward(layer, config, activation, &hidden)?;
    }
    builder.head(family, head, &hidden)?;
    let Builder {
        weights, writer, ..
    } = builder;
    if let Some(name) = weights.first_unused(&HARMLESS) {
        return Err(EncoderGraphError::Unused {
            name: name.to_owned(),
        });
    }
    let digest = writer.finish(&target.join(GRAPH_FILE))?;
    progress(ImportProgress {
        step: ImportStep::Converting,
        done: total,
        total,
    });
    Ok(digest)
}

struct Builder<'a> {
    weights: Weights,
    writer: ModelWriter,
    hidden: usize,
    epsilon: f32,
    progress: &'a mut dyn FnMut(ImportProgress),
    total: u64,
    done: u64,
}

impl Builder<'_> {
    fn declare(&mut self, family: Family, head: &Head) {
        for name in PACKED_INPUTS {
            let (element, shape): (_, &[Size]) = match name {
                "token_type_ids" if family == Family::Roberta => continue,
                "first_index" if *head != Head::Score => continue,
                "first_index" => (ElementType::Int64, &[Size::Named("rows")]),
                "row_lengths" => (ElementType::Int32, &[Size::Named("rows")]),
                "padded_index" => (
                    ElementType::Int64,
                    &[Size::Named("rows"), Size::Named("longest")],
                ),
                _ => (ElementType::Int64, &[Size::Named("tokens")]),
            };
            self.writer.input(name, element, shape);
        }
        match head {
            Head::Embedding(_) => self.writer.output(
                "last_hidden_state",
                ElementType::Float,
                &[Size::Named("tokens"), Size::Fixed(self.hidden)],
            ),
            Head::Score => self.writer.output(
                "logits",
                ElementType::Float,
                &[Size::Named("rows"), Size::Fixed(1)],
            ),
        }
    }

    fn embed(&mut self, config: &Config, family: Family) -> Result<String, EncoderGraphError> {
        let hidden = self.hidden;
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        self.copy(&table("word"), &[config.vocab_size, hidden])?;
        self.copy(
            &table("position"),
            &[config.max_position_embeddings, hidden],
        )?;
        self.gather(&table("word"), "input_ids", "words");
        self.gather(&table("position"), "position_ids", "positions");
        let name = table("token_type");
        match family {
            Family::Bert => {
                self.copy(&name, &[2, hidden])?;
                self.gather(&name, "token_type_ids", "types");
            }
            Family::Roberta => {
                // It has a single kind of token, so the same vector is added to all.
                self.copy(&name, &[1, hidden])?;
            }
        }
        let types = match family {
            Family::Bert => "types",
            Family::Roberta => name.as_str(),
        };
        self.operator("Add", STANDARD, &["words", types], "placed", &[]);
        self.add_and_norm(
            "placed",
            "positions",
            "embeddings.LayerNorm",
            None,
            "embedded",
        )?;
        Ok("embedded".to_owned())
    }

    fn attention(
        &mut self,
        layer: usize,
        config: &Config,
        input: &str,
    ) -> Result<String, EncoderGraphError> {
        let hidden = self.hidden;
        let at = |name: &str| format!("encoder.layer.{layer}.attention.{name}");
        let out = |name: &str| format!("layer.{layer}.{name}");
        let parts = ["query", "key", "value"];
        let mut joined = vec![0.0; hidden * 3 * hidden];
        let mut biases = Vec::with_capacity(3 * hidden);
        for (part, name) in parts.iter().enumerate() {
            let weight = self.read(&at(&format!("self.{name}.weight")), &[hidden, hidden])?;
            for (row, values) in weight.chunks_exact(hidden).enumerate() {
                for (column, value) in values.iter().enumerate() {
                    joined[column * 3 * hidden + part * hidden + row] = *value;
                }
            }
            biases.extend(self.read(&at(&format!("self.{name}.bias")), &[hidden])?);
        }
        let (weight, bias) = (at("self.weight"), at("self.bias"));
        self.writer
            .floats(&weight, &[hidden, 3 * hidden], joined.into_iter())?;
        self.writer
            .floats(&bias, &[3 * hidden], biases.into_iter())?;
        self.operator("MatMul", STANDARD, &[input, &weight], &out("joined"), &[]);
        self.gather(&out("joined"), "padded_index", &out("padded"));
        let (joined, split) = (out("padded"), parts.map(out));
        self.writer.operator(&Operator {
            kind: "Split",
            domain: STANDARD,
            inputs: &[&joined],
            outputs: &split.each_ref().map(String::as_str),
            settings: &[("axis", Setting::Int(-1)), ("num_outputs", Setting::Int(3))],
        });
        let [query, key, value] = split.each_ref().map(String::as_str);
        self.operator(
            "MultiHeadAttention",
            CONTRIB,
            &[query, key, value, &bias, "row_lengths"],
            &out("attended"),
            &[(
                "num_heads",
                Setting::Int(to_i64(config.num_attention_heads)),
            )],
        );
        let flat = out("flat");
        let shape = out("flat.shape");
        self.writer.integers(&shape, &[2], &[-1, to_i64(hidden)])?;
        self.operator("Reshape", STANDARD, &[&out("attended"), &shape], &flat, &[]);
        self.gather(&flat, "token_index", &out("context"));
        let weight = at("output.dense.weight");
        self.transposed(&weight, hidden, hidden)?;
        self.operator(
            "MatMul",
            STANDARD,
            &[&out("context"), &weight],
            &out("mixed"),
            &[],
        );
        let bias = at("output.dense.bias");
        self.add_and_norm(
            &out("mixed"),
            input,
            &at("output.LayerNorm"),
            Some(&bias),
            &out("attention"),
        )?;
        Ok(out("attention"))
    }

    fn feed_forward(
        &mut self,
        layer: usize,
        config: &Config,
        activation: Activation,
        input: &str,
    ) -> Result<String, EncoderGraphError> {
        let (hidden, inner) = (self.hidden, config.intermediate_size);
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        let out = |name: &str| format!("layer.{layer}.{name}");
        let (weight, bias) = (
            at("intermediate.dense.weight"),
            at("intermediate.dense.bias"),
        );
        self.transposed(&weight, inner, hidden)?;
        self.copy(&bias, &[inner])?;
        self.operator("MatMul", STANDARD, &[input, &weight], &out("wide"), &[]);
        let wide = out("wide");
        match activation {
            Activation::Gelu => {
                self.operator("BiasGelu", CONTRIB, &[&wide, &bias], &out("bent"), &[]);
            }
            Activation::GeluTanh => {
                self.operator("FastGelu", CONTRIB, &[&wide, &bias], &out("bent"), &[]);
            }
            Activation::Relu => {
                self.operator("Add", STANDARD, &[&wide, &bias], &out("biased"), &[]);
                self.operator("Relu", STANDARD, &[&out("biased")], &out("bent"), &[]);
            }
        }
        let weight = at("output.dense.weight");
        self.transposed(&weight, hidden, inner)?;
        self.operator(
            "MatMul",
            STANDARD,
            &[&out("bent"), &weight],
            &out("narrow"),
            &[],
        );
        let bias = at("output.dense.bias");
        let is_last = layer + 1 == config.num_hidden_layers;
        let output = if is_last {
            "last_hidden_state".to_owned()
        } else {
            out("output")
        };
        self.add_and_norm(
            &out("narrow"),
            input,
            &at("output.LayerNorm"),
            Some(&bias),
            &output,
        )?;
        Ok(output)
    }

    /// For scores: two layers over the first token of each row.
    fn head(&mut self, family: Family, head: &Head, input: &str) -> Result<(), EncoderGraphError> {
        if *head != Head::Score {
            return Ok(());
        }
        let hidden = self.hidden;
        let (dense, last) = match family {
            Family::Bert => ("pooler.dense", "classifier"),
            Family::Roberta => ("classifier.dense", "classifier.out_proj"),
        };
        self.gather(input, "first_index", "first");
        let (weight, bias) = (format!("{dense}.weight"), format!("{dense}.bias"));
        for (name, shape) in [(&weight, [hidden, hidden].as_slice()), (&bias, &[hidden])] {
            let values = match family {
                Family::Bert => self.read(name, shape)?,
                Family::Roberta => self.read_whole_name(name, shape)?,
            };
            self.writer.floats(name, shape, values.into_iter())?;
        }
        self.dense("first", [&weight, &bias], "pooled");
        self.operator("Tanh", STANDARD, &["pooled"], "bent", &[]);
        let (weight, bias) = (format!("{last}.weight"), format!("{last}.bias"));
        for (name, shape) in [(&weight, [1, hidden].as_slice()), (&bias, &[1])] {
            let values = self.read_whole_name(name, shape)?;
            self.writer.floats(name, shape, values.into_iter())?;
        }
        self.dense("bent", [&weight, &bias], "logits");
        Ok(())
    }

    fn dense(&mut self, input: &str, [weight, bias]: [&str; 2], output: &str) {
        let settings = [("transB", Setting::Int(1))];
        self.operator("Gemm", STANDARD, &[input, weight, bias], output, &settings);
    }

    /// Adds `input`, `skip` and a bias, and normalizes the sum.
    fn add_and_norm(
        &mut self,
        input: &str,
        skip: &str,
        norm: &str,
        bias: Option<&str>,
        output: &str,
    ) -> Result<(), EncoderGraphError> {
        let (scale, shift) = (format!("{norm}.weight"), format!("{norm}.bias"));
        self.copy(&scale, &[self.hidden])?;
        self.copy(&shift, &[self.hidden])?;
        let mut inputs = vec![input, skip, &scale, &shift];
        if let Some(bias) = bias {
            self.copy(bias, &[self.hidden])?;
            inputs.push(bias);
        }
        let settings = [("epsilon", Setting::Float(self.epsilon))];
        self.operator(
            "SkipLayerNormalization",
            CONTRIB,
            &inputs,
            output,
            &settings,
        );
        Ok(())
    }

    fn gather(&mut self, from: &str, index: &str, output: &str) {
        self.operator("Gather", STANDARD, &[from, index], output, &[]);
    }

    fn operator(
        &mut self,
        kind: &str,
        domain: &str,
        inputs: &[&str],
        output: &str,
        settings: &[(&str, Setting)],
    ) {
        self.writer.operator(&Operator {
            kind,
            domain,
            inputs,
            outputs: &[output],
            settings,
        });
    }

    fn copy(&mut self, name: &str, shape: &[usize]) -> Result<(), EncoderGraphError> {
        let values = self.read(name, shape)?;
        Ok(self.writer.floats(name, shape, values.into_iter())?)
    }

    /// A layer's weight as the graph multiplies by it: an input a row.
    fn transposed(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<(), EncoderGraphError> {
        let values = self.read(name, &[outputs, inputs])?;
        let columns = (0..inputs).flat_map(|input| values[input..].iter().step_by(inputs).copied());
        Ok(self.writer.floats(name, &[inputs, outputs], columns)?)
    }

    fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EncoderGraphError> {
        let values = self.weights.read(name, shape)?;
        self.report(values.len());
        Ok(values)
    }

    fn read_whole_name(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>, EncoderGraphError> {
        let values = self.weights.read_whole_name(name, shape)?;
        self.report(values.len());
        Ok(values)
    }

    fn report(&mut self, values: usize) {
        self.done = self.total.min(self.done + 4 * values as u64);
        (self.progress)(ImportProgress {
            step: ImportStep::Converting,
            done: self.done,
            total: self.total,
        });
    }
}

fn to_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes of tensors that exist fit into 63 bits")
}
