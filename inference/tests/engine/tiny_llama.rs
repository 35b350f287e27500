//! A llama of two layers with random weights in several encodings, and the directory it is imported into.

use std::{env, fs, path::PathBuf};

use claw_inference::{ModelDir, Quantization, import::import_model, runtime};
use tempfile::TempDir;

use crate::gguf_writer::{GgufWriter, Tensor, Value};

pub(crate) const LAYERS: u32 = 2;
pub(crate) const HIDDEN: u64 = 64;
pub(crate) const HEADS: u64 = 4;
pub(crate) const KV_HEADS: u64 = 2;
pub(crate) const HEAD_SIZE: u64 = 16;
pub(crate) const FEED_FORWARD: u64 = 96;
pub(crate) const CONTEXT: u32 = 256;
pub(crate) const VOCABULARY: u64 = 260;
pub(crate) const EOS: u32 = 257;

const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q4_1: u32 = 3;
const Q8_0: u32 = 8;

const TEMPLATE: &str = "{% for message in messages %}\
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\
    {% endfor %}{{ '<|im_start|>assistant\\n' }}";

/// The whole file, to be changed by tests of what is refused.
pub(crate) fn tiny_llama() -> GgufWriter {
    let mut file = GgufWriter::default();
    let size = |size: u64| Value::U32(u32::try_from(size).expect("small"));
    file.set("general.architecture", "llama");
    file.set("general.name", "tiny");
    file.set("llama.block_count", LAYERS);
    file.set("llama.context_length", CONTEXT);
    file.set("llama.embedding_length", size(HIDDEN));
    file.set("llama.feed_forward_length", size(FEED_FORWARD));
    file.set("llama.attention.head_count", size(HEADS));
    file.set("llama.attention.head_count_kv", size(KV_HEADS));
    file.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
    file.set("llama.rope.freq_base", Value::F32(10_000.0));
    add_tokenizer(&mut file);
    add_tensors(&mut file);
    file
}

/// The same tokenizer in the format of the tokenizers library.
pub(crate) fn tokenizer_json() -> serde_json::Value {
    let mut vocabulary: serde_json::Map<String, serde_json::Value> = (0..=255_u8)
        .map(|byte| (byte_letter(byte).to_string(), byte.into()))
        .collect();
    for (id, token) in [
        (256, "<|im_start|>"),
        (257, "<|im_end|>"),
        (258, "he"),
        (259, "ll"),
    ] {
        vocabulary.insert(token.to_owned(), id.into());
    }
    let added = [(256, "<|im_start|>"), (257, "<|im_end|>")].map(|(id, content)| {
        serde_json::json!({
            "id": id, "content": content, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    });
    serde_json::json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [["h", "e"], ["l", "l"]]},
    })
}

pub(crate) fn add_tokenizer(file: &mut GgufWriter) {
    let mut tokens: Vec<String> = (0..=255)
        .map(|byte| byte_letter(byte).to_string())
        .collect();
    let mut kinds = vec![1; 256];
    for (token, kind) in [("<|im_start|>", 3), ("<|im_end|>", 3), ("he", 1), ("ll", 1)] {
        tokens.push(token.to_owned());
        kinds.push(kind);
    }
    file.set("tokenizer.ggml.model", "gpt2");
    file.set("tokenizer.ggml.pre", "smollm");
    file.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    file.set("tokenizer.ggml.token_type", Value::Integers(kinds));
    file.set(
        "tokenizer.ggml.merges",
        Value::Texts(vec!["h e".to_owned(), "l l".to_owned()]),
    );
    file.set("tokenizer.ggml.bos_token_id", 256);
    file.set("tokenizer.ggml.eos_token_id", EOS);
    file.set("tokenizer.chat_template", TEMPLATE);
}

/// The letters of byte-level BPE.
fn byte_letter(byte: u8) -> char {
    let is_printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(byte) {
        return char::from(byte);
    }
    let place = (0..byte).filter(|&before| !is_printable(before)).count();
    char::from_u32(0x100 + u32::try_from(place).expect("small")).expect("a letter")
}

fn add_tensors(file: &mut GgufWriter) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut add = |name: String, dimensions: &[u64], kind: u32| {
        let count: u64 = dimensions.iter().product();
        let data = random.data(kind, usize::try_from(count).expect("small"));
        file.tensors.push(Tensor {
            name,
            dimensions: dimensions.to_vec(),
            kind,
            data,
        });
    };
    add("token_embd.weight".to_owned(), &[VOCABULARY, HIDDEN], Q8_0);
    for layer in 0..LAYERS {
        let mut add = |name: &str, dimensions: &[u64], kind| {
            add(format!("blk.{layer}.{name}"), dimensions, kind);
        };
        add("attn_norm.weight", &[HIDDEN], F32);
        add("attn_q.weight", &[HEADS * HEAD_SIZE, HIDDEN], Q4_1);
        add("attn_k.weight", &[KV_HEADS * HEAD_SIZE, HIDDEN], Q4_0);
        add("attn_v.weight", &[KV_HEADS * HEAD_SIZE, HIDDEN], F16);
        add("attn_output.weight", &[HIDDEN, HEADS * HEAD_SIZE], Q8_0);
        add("ffn_norm.weight", &[HIDDEN], F32);
        add("ffn_gate.weight", &[FEED_FORWARD, HIDDEN], F32);
        add("ffn_up.weight", &[FEED_FORWARD, HIDDEN], Q4_0);
        add("ffn_down.weight", &[HIDDEN, FEED_FORWARD], Q4_1);
    }
    add("output_norm.weight".to_owned(), &[HIDDEN], F32);
}

/// Xorshift: the same weights on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next() >> 56).expect("8 bits are left")
    }

    /// From -0.5 to 0.5, in steps that a 16 bit float holds exactly.
    fn float(&mut self) -> f32 {
        f32::from(self.byte()) / 256.0 - 0.5
    }

    fn data(&mut self, kind: u32, count: usize) -> Vec<u8> {
        let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
        match kind {
            F32 => (0..count)
                .flat_map(|_| (self.float() + 0.75).to_le_bytes())
                .collect(),
            F16 => (0..count).flat_map(|_| half(self.float())).collect(),
            _ => {
                let (header, bytes): (Vec<[u8; 2]>, usize) = match kind {
                    Q4_0 => (vec![half(0.0625)], 16),
                    Q4_1 => (vec![half(0.0625), half(-0.47)], 16),
                    _ => (vec![half(0.0078)], 32),
                };
                let block = |random: &mut Self| {
                    let values: Vec<u8> = (0..bytes).map(|_| random.byte()).collect();
                    [header.as_flattened(), &values].concat()
                };
                (0..count / 32).flat_map(|_| block(self)).collect()
            }
        }
    }
}

/// A file and a place to import it to, removed when dropped.
pub(crate) struct Workspace {
    directory: TempDir,
}

impl Workspace {
    pub(crate) fn new(content: &[u8]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("model.gguf"), content).expect("written");
        Self { directory }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.directory.path().join("model.gguf")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.directory.path().join("model")
    }

    pub(crate) fn import(&self, quantization: Quantization) -> ModelDir {
        import_model(&self.source(), &self.target(), quantization, &mut |_| {}).expect("imported")
    }

    /// What is in the workspace beside the source.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("readable");
        let names = entries.map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        names.filter(|name| name != "model.gguf").collect()
    }
}

/// An imported tiny model.
pub(crate) fn imported(quantization: Quantization) -> (Workspace, ModelDir) {
    let workspace = Workspace::new(&tiny_llama().to_bytes());
    let model = workspace.import(quantization);
    (workspace, model)
}

/// Whether ONNX Runtime is there; prints why not.
pub(crate) fn has_runtime() -> bool {
    match runtime::init(None) {
        Ok(()) => true,
        Err(error) if env::var("CLAW_TEST_REQUIRE_MODEL").is_ok_and(|value| value == "1") => {
            panic!("the runtime is required: {error}")
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}
