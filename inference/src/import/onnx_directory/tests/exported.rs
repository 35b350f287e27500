//! The tiny llama of the reference as an exporter writes it: with a mask, positions, and caches that grow.

use std::path::Path;

use prost::Message as _;

use crate::import::{
    decoder::{Decoder, ModelConfig},
    onnx::{CONTRIB, ElementType, ModelWriter, Operator, STANDARD, Setting, Size},
    onnx_directory::envelope::ModelEnvelope,
};

const HIDDEN: usize = 64;
const INNER: usize = 96;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_SIZE: usize = 16;
const VOCABULARY: usize = 260;
const BATCH: Size = Size::Named("batch_size");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attention {
    Plain,
    Grouped,
}

/// What is exported, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exported {
    pub(super) attention: Attention,
    pub(super) layers: usize,
    pub(super) extra_input: Option<&'static str>,
    /// The version of the operators that the file claims.
    pub(super) operators: i64,
    pub(super) has_cache: bool,
    /// Whether an operator stands behind the last product.
    pub(super) scales_logits: bool,
}

impl Default for Exported {
    fn default() -> Self {
        Self {
            attention: Attention::Plain,
            layers: 2,
            extra_input: None,
            operators: 21,
            has_cache: true,
            scales_logits: false,
        }
    }
}

struct Writer {
    model: ModelWriter,
}

impl Exported {
    pub(super) fn write(&self, directory: &Path) {
        let model =
            ModelWriter::create("exported", &directory.join("model.onnx_data")).expect("created");
        let mut writer = Writer { model };
        self.declare(&mut writer.model);
        writer.prepare(self.attention);
        for layer in 0..self.layers {
            writer.layer(layer, self.attention);
        }
        let last = format!("x{}", self.layers);
        writer.norm(&last, "model.norm.weight", "final", HIDDEN);
        if self.scales_logits {
            writer.product("final", "lm_head.weight", VOCABULARY, HIDDEN, "halved");
            writer.floats("two", &[], vec![1.0]);
            writer.run("Mul", &["halved", "two"], "logits", &[]);
        } else {
            writer.product("final", "lm_head.weight", VOCABULARY, HIDDEN, "logits");
        }
        let path = directory.join("model.onnx");
        writer.model.finish(&path).expect("written");
        let bytes = std::fs::read(&path).expect("a file");
        let mut model = ModelEnvelope::decode(bytes.as_slice()).expect("valid");
        model.operator_sets[0].version = self.operators;
        std::fs::write(&path, model.encode_to_vec()).expect("written");
    }

    fn declare(&self, model: &mut ModelWriter) {
        let sequence = Size::Named("sequence_length");
        model.input("input_ids", ElementType::Int64, &[BATCH, sequence]);
        model.input(
            "attention_mask",
            ElementType::Int64,
            &[BATCH, Size::Named("total")],
        );
        model.input("position_ids", ElementType::Int64, &[BATCH, sequence]);
        if let Some(name) = self.extra_input {
            model.input(name, ElementType::Int64, &[Size::Fixed(1)]);
        }
        model.output(
            "logits",
            ElementType::Float,
            &[BATCH, sequence, Size::Fixed(VOCABULARY)],
        );
        if !self.has_cache {
            return;
        }
        for layer in 0..self.layers {
            for part in ["key", "value"] {
                let shape = |length| {
                    [
                        BATCH,
                        Size::Fixed(KV_HEADS),
                        Size::Named(length),
                        Size::Fixed(HEAD_SIZE),
                    ]
                };
                model.input(
                    &format!("past_key_values.{layer}.{part}"),
                    ElementType::Float,
                    &shape("past"),
                );
                model.output(
                    &format!("present.{layer}.{part}"),
                    ElementType::Float,
                    &shape("total"),
                );
            }
        }
    }
}

impl Writer {
    fn run(&mut self, kind: &str, inputs: &[&str], output: &str, settings: &[(&str, Setting)]) {
        self.model.operator(&Operator {
            kind,
            domain: STANDARD,
            inputs,
            outputs: &[output],
            settings,
        });
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        self.model
            .integers(name, &[values.len()], values)
            .expect("written");
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.model
            .floats(name, shape, values.into_iter())
            .expect("written");
    }

    /// The embedding, the tables of rotations, and the mask.
    fn prepare(&mut self, attention: Attention) {
        let config: ModelConfig =
            serde_json::from_value(super::reference().cases[0].config.clone()).expect("valid");
        let decoder = Decoder::from_config(&config).expect("a llama");
        let table = [128, HEAD_SIZE / 2];
        self.floats(
            "cos",
            &table,
            decoder.rotation.table(128, f64::cos).collect(),
        );
        self.floats(
            "sin",
            &table,
            decoder.rotation.table(128, f64::sin).collect(),
        );
        let embedding = values_of("model.embed_tokens.weight", VOCABULARY * HIDDEN);
        self.floats("embed", &[VOCABULARY, HIDDEN], embedding);
        self.run("Gather", &["embed", "input_ids"], "x0", &[]);
        self.model.integers("zero", &[], &[0]).expect("written");
        self.model.integers("one", &[], &[1]).expect("written");
        self.integers("axis0", &[0]);
        self.integers("axis1", &[1]);
        if attention == Attention::Grouped {
            return self.lengths();
        }
        for table in ["cos", "sin"] {
            let (half, whole, head) = (
                format!("{table}_half"),
                format!("{table}_whole"),
                format!("{table}_head"),
            );
            self.run("Gather", &[table, "position_ids"], &half, &[]);
            self.run(
                "Concat",
                &[&half, &half],
                &whole,
                &[("axis", Setting::Int(-1))],
            );
            self.run("Unsqueeze", &[&whole, "axis1"], &head, &[]);
        }
        self.integers("axis12", &[1, 2]);
        self.run("Shape", &["attention_mask"], "mask_shape", &[]);
        self.run("Gather", &["mask_shape", "one"], "total", &[]);
        self.run("Shape", &["input_ids"], "ids_shape", &[]);
        self.run("Gather", &["ids_shape", "one"], "new", &[]);
        self.run("Sub", &["total", "new"], "past", &[]);
        self.run("Range", &["past", "total", "one"], "queries", &[]);
        self.run("Unsqueeze", &["queries", "axis1"], "queries_column", &[]);
        self.run("Range", &["zero", "total", "one"], "keys", &[]);
        self.run("Unsqueeze", &["keys", "axis0"], "keys_row", &[]);
        self.run(
            "LessOrEqual",
            &["keys_row", "queries_column"],
            "causal",
            &[],
        );
        self.run("Unsqueeze", &["attention_mask", "axis12"], "mask_wide", &[]);
        self.run(
            "Cast",
            &["mask_wide"],
            "mask_bool",
            &[("to", Setting::Int(9))],
        );
        self.run("And", &["mask_bool", "causal"], "allowed", &[]);
        self.floats("nothing", &[], vec![0.0]);
        self.floats("never", &[], vec![-1e9]);
        self.run("Where", &["allowed", "nothing", "never"], "bias", &[]);
        self.floats("scale", &[], vec![0.25]);
        self.integers("repeated", &[0, 0, 1, 1]);
    }

    /// What grouped attention takes, under the names that our own inputs have.
    fn lengths(&mut self) {
        let to = [("to", Setting::Int(6))];
        self.run(
            "ReduceSum",
            &["attention_mask", "axis1"],
            "ones",
            &[("keepdims", Setting::Int(0))],
        );
        self.run("Sub", &["ones", "one"], "last_places", &[]);
        self.run("Cast", &["last_places"], "seqlens_k", &to);
        self.run("Shape", &["attention_mask"], "mask_shape", &[]);
        self.run("Gather", &["mask_shape", "one"], "total", &[]);
        self.run("Cast", &["total"], "total_sequence_length", &to);
    }

    fn norm(&mut self, input: &str, weight: &str, output: &str, size: usize) {
        self.floats(weight, &[size], values_of(weight, size));
        let settings = [
            ("axis", Setting::Int(-1)),
            ("epsilon", Setting::Float(1e-5)),
            ("stash_type", Setting::Int(1)),
        ];
        self.run(
            "SimplifiedLayerNormalization",
            &[input, weight],
            output,
            &settings,
        );
    }

    fn product(&mut self, input: &str, weight: &str, rows: usize, columns: usize, output: &str) {
        let values = values_of(weight, rows * columns);
        let transposed =
            (0..columns).flat_map(|column| values[column..].iter().step_by(columns).copied());
        self.floats(weight, &[columns, rows], transposed.collect());
        self.run("MatMul", &[input, weight], output, &[]);
    }

    fn layer(&mut self, layer: usize, attention: Attention) {
        let weight = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let name = |part: &str| format!("{part}{layer}");
        let (input, normed) = (format!("x{layer}"), name("normed"));
        self.norm(&input, &weight("input_layernorm"), &normed, HIDDEN);
        for (part, rows) in [("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)] {
            let full = weight(&format!("self_attn.{part}_proj"));
            self.product(&normed, &full, rows * HEAD_SIZE, HIDDEN, &name(part));
        }
        match attention {
            Attention::Plain => self.attend(layer),
            Attention::Grouped => self.attend_grouped(layer),
        }
        self.product(
            &name("attended"),
            &weight("self_attn.o_proj"),
            HIDDEN,
            HEADS * HEAD_SIZE,
            &name("o"),
        );
        let (sum, normed) = (name("sum"), name("ffn_normed"));
        self.run("Add", &[&input, &name("o")], &sum, &[]);
        self.norm(&sum, &weight("post_attention_layernorm"), &normed, HIDDEN);
        self.product(
            &normed,
            &weight("mlp.gate_proj"),
            INNER,
            HIDDEN,
            &name("gate"),
        );
        self.product(&normed, &weight("mlp.up_proj"), INNER, HIDDEN, &name("up"));
        self.run("Sigmoid", &[&name("gate")], &name("sigmoid"), &[]);
        self.run(
            "Mul",
            &[&name("gate"), &name("sigmoid")],
            &name("silu"),
            &[],
        );
        self.run("Mul", &[&name("silu"), &name("up")], &name("gated"), &[]);
        self.product(
            &name("gated"),
            &weight("mlp.down_proj"),
            HIDDEN,
            INNER,
            &name("down"),
        );
        self.run(
            "Add",
            &[&sum, &name("down")],
            &format!("x{}", layer + 1),
            &[],
        );
    }

    fn attend_grouped(&mut self, layer: usize) {
        let name = |part: &str| format!("{part}{layer}");
        let past = ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"));
        let present = ["key", "value"].map(|part| format!("present.{layer}.{part}"));
        self.model.operator(&Operator {
            kind: "GroupQueryAttention",
            domain: CONTRIB,
            inputs: &[
                &name("q"),
                &name("k"),
                &name("v"),
                &past[0],
                &past[1],
                "seqlens_k",
                "total_sequence_length",
                "cos",
                "sin",
            ],
            outputs: &[&name("attended"), &present[0], &present[1]],
            settings: &[
                ("num_heads", Setting::Int(4)),
                ("kv_num_heads", Setting::Int(2)),
                ("do_rotary", Setting::Int(1)),
            ],
        });
    }

    fn attend(&mut self, layer: usize) {
        let name = |part: &str| format!("{part}{layer}");
        let heads_first = [("perm", Setting::Ints(&[0, 2, 1, 3]))];
        for (part, heads) in [("q", 4), ("k", 2), ("v", 2)] {
            let (shape, split, turned) = (
                name(&format!("{part}_shape")),
                name(&format!("{part}_split")),
                name(&format!("{part}_heads")),
            );
            self.integers(&shape, &[0, 0, heads, 16]);
            self.run("Reshape", &[&name(part), &shape], &split, &[]);
            self.run("Transpose", &[&split], &turned, &heads_first);
        }
        for part in ["q", "k"] {
            self.rotate(&name(&format!("{part}_heads")));
        }
        for (part, new) in [
            ("key", name("k_heads") + "_rotated"),
            ("value", name("v_heads")),
        ] {
            let (past, present) = (
                format!("past_key_values.{layer}.{part}"),
                format!("present.{layer}.{part}"),
            );
            self.run(
                "Concat",
                &[&past, &new],
                &present,
                &[("axis", Setting::Int(2))],
            );
            self.run(
                "Gather",
                &[&present, "repeated"],
                &name(&format!("{part}_all")),
                &[("axis", Setting::Int(1))],
            );
        }
        let turned = [("perm", Setting::Ints(&[0, 1, 3, 2]))];
        self.run(
            "Transpose",
            &[&name("key_all")],
            &name("key_turned"),
            &turned,
        );
        self.run(
            "MatMul",
            &[&(name("q_heads") + "_rotated"), &name("key_turned")],
            &name("products"),
            &[],
        );
        self.run("Mul", &[&name("products"), "scale"], &name("scaled"), &[]);
        self.run("Add", &[&name("scaled"), "bias"], &name("scores"), &[]);
        self.run(
            "Softmax",
            &[&name("scores")],
            &name("weights"),
            &[("axis", Setting::Int(-1))],
        );
        self.run(
            "MatMul",
            &[&name("weights"), &name("value_all")],
            &name("mixed"),
            &[],
        );
        self.run(
            "Transpose",
            &[&name("mixed")],
            &name("mixed_back"),
            &heads_first,
        );
        self.integers(&name("joined"), &[0, 0, 64]);
        self.run(
            "Reshape",
            &[&name("mixed_back"), &name("joined")],
            &name("attended"),
            &[],
        );
    }

    /// `x * cos + (-x2, x1) * sin`
    fn rotate(&mut self, input: &str) {
        let name = |step: &str| format!("{input}_{step}");
        self.model.operator(&Operator {
            kind: "Split",
            domain: STANDARD,
            inputs: &[input],
            outputs: &[&name("first"), &name("second")],
            settings: &[("axis", Setting::Int(-1)), ("num_outputs", Setting::Int(2))],
        });
        self.run("Neg", &[&name("second")], &name("negated"), &[]);
        self.run(
            "Concat",
            &[&name("negated"), &name("first")],
            &name("crossed"),
            &[("axis", Setting::Int(-1))],
        );
        self.run("Mul", &[input, "cos_head"], &name("straight"), &[]);
        self.run("Mul", &[&name("crossed"), "sin_head"], &name("turned"), &[]);
        self.run(
            "Add",
            &[&name("straight"), &name("turned")],
            &name("rotated"),
            &[],
        );
    }
}

/// As the script of the reference makes weights.
fn values_of(name: &str, count: usize) -> Vec<f32> {
    let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let offset = if name.contains("norm") { 1.0 } else { 0.0 };
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = u8::try_from(state >> 56).expect("8 bits are left");
        (f32::from(byte) - 128.0) / 512.0 + offset
    };
    (0..count).map(|_| next()).collect()
}
