//! Tiny encoders as Hugging Face directories, with weights made from their names as `reference/encoders.py` makes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use claw_inference::import::{EncoderImportError, import_encoder};
use serde_json::{Map, Value, json};

const HIDDEN: usize = 32;
const LAYERS: usize = 2;
const INNER: usize = 64;
const VOCABULARY: usize = 56;
pub(crate) const POSITIONS: usize = 40;

/// A directory to import, and where the import goes.
pub(crate) struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    /// A tiny `bert` or `xlm-roberta`, with a classifier's head or without.
    pub(crate) fn new(model_type: &str, is_classifier: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let workspace = Self { folder };
        let source = workspace.source();
        fs::create_dir(&source).expect("created");
        let architecture = if is_classifier {
            "XForSequenceClassification"
        } else {
            "XModel"
        };
        workspace.write(
            "config.json",
            &json!({
                "model_type": model_type, "architectures": [architecture], "hidden_size": HIDDEN,
                "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": INNER,
                "vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS, "pad_token_id": 0,
                "layer_norm_eps": 1e-12, "hidden_act": "gelu", "id2label": {"0": "LABEL_0"},
                "matryoshka_dimensions": [8],
            }),
        );
        workspace.write("tokenizer.json", &tokenizer());
        fs::write(
            source.join("model.safetensors"),
            safetensors(&shapes(model_type, is_classifier)),
        )
        .expect("written");
        workspace
    }

    /// Sentence-transformers' files, with a pooling of `mode` and a norm.
    pub(crate) fn with_modules(self, mode: &str) -> Self {
        self.write(
            "modules.json",
            &json!([
                {"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
            ]),
        );
        let mut pooling = Map::new();
        pooling.insert(format!("pooling_mode_{mode}"), true.into());
        self.write("1_Pooling/config.json", &Value::Object(pooling));
        self
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("tiny")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("imported")
    }

    pub(crate) fn import(&self) -> Result<PathBuf, EncoderImportError> {
        import_encoder(&self.source(), &self.target(), &mut |_| {})?;
        Ok(self.target())
    }

    pub(crate) fn write(&self, name: &str, content: &Value) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, content.to_string()).expect("written");
    }
}

fn shapes(model_type: &str, is_classifier: bool) -> Vec<(String, Vec<usize>)> {
    let is_bert = model_type == "bert";
    let prefix = match (is_classifier, is_bert) {
        (false, _) => "",
        (true, true) => "bert.",
        (true, false) => "roberta.",
    };
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| shapes.push((name, shape.to_vec()));
    let types = if is_bert { 2 } else { 1 };
    for (name, rows) in [
        ("word", VOCABULARY),
        ("position", POSITIONS),
        ("token_type", types),
    ] {
        add(
            format!("{prefix}embeddings.{name}_embeddings.weight"),
            &[rows, HIDDEN],
        );
    }
    let mut norms = vec![format!("{prefix}embeddings.LayerNorm")];
    let mut layers = Vec::new();
    for layer in 0..LAYERS {
        let at = format!("{prefix}encoder.layer.{layer}");
        for name in ["query", "key", "value"] {
            layers.push((format!("{at}.attention.self.{name}"), HIDDEN, HIDDEN));
        }
        layers.push((format!("{at}.attention.output.dense"), HIDDEN, HIDDEN));
        layers.push((format!("{at}.intermediate.dense"), INNER, HIDDEN));
        layers.push((format!("{at}.output.dense"), HIDDEN, INNER));
        norms.push(format!("{at}.attention.output.LayerNorm"));
        norms.push(format!("{at}.output.LayerNorm"));
    }
    if is_bert || !is_classifier {
        layers.push((format!("{prefix}pooler.dense"), HIDDEN, HIDDEN));
    }
    match (is_classifier, is_bert) {
        (false, _) => {}
        (true, true) => layers.push(("classifier".to_owned(), 1, HIDDEN)),
        (true, false) => {
            layers.push(("classifier.dense".to_owned(), HIDDEN, HIDDEN));
            layers.push(("classifier.out_proj".to_owned(), 1, HIDDEN));
        }
    }
    for (name, rows, columns) in layers {
        add(format!("{name}.weight"), &[rows, columns]);
        add(format!("{name}.bias"), &[rows]);
    }
    for name in norms {
        add(format!("{name}.weight"), &[HIDDEN]);
        add(format!("{name}.bias"), &[HIDDEN]);
    }
    shapes
}

/// A safetensors file.
pub(crate) fn safetensors(shapes: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, shape) in shapes {
        let start = data.len();
        data.extend(weight(name, shape.iter().product()).flat_map(f32::to_le_bytes));
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&data);
    bytes
}

/// Numbers from -0.25 to 0.25 that depend on a tensor's name alone; scales of norms are around 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "24 bits are what single precision holds"
)]
fn weight(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let base = if name.ends_with("LayerNorm.weight") || name.ends_with("layer_norm.weight") {
        1.0
    } else {
        0.0
    };
    (1..=count as u64).map(move |index| {
        let state = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let number = (mixed(state) >> 40) as f32;
        (number - 8_388_608.0) / 33_554_432.0 + base
    })
}

/// The finalizer of `SplitMix64`.
fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// A tokenizer of letters: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3, then `a` to `z` as words and as continuations.
pub(crate) fn tokenizer() -> Value {
    const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (id, content) in SPECIAL.iter().enumerate() {
        vocabulary.insert((*content).to_owned(), id.into());
        added.push(json!({
            "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false,
        }));
    }
    for (index, letter) in ('a'..='z').enumerate() {
        vocabulary.insert(letter.to_string(), (4 + index).into());
        vocabulary.insert(format!("##{letter}"), (30 + index).into());
    }
    let special = |id: &str, kind: u32| json!({"SpecialToken": {"id": id, "type_id": kind}});
    let sequence = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0", "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                       "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
}

/// Where an import left something beside the target.
pub(crate) fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("readable");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
