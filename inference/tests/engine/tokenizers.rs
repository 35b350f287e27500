//! Tokenizers that GGUF files describe.

use std::fs;

use claw_inference::{ModelDir, Quantization, Tokenizer, import::import_model};
use tempfile::TempDir;

use crate::{
    gguf_writer::{GgufWriter, Value},
    tiny_llama::tiny_llama,
};

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// The tiny llama with a SentencePiece vocabulary of 260 tokens: `<unk>`, `<s>`, `</s>`, 256 bytes, and the words.
fn with_sentence_piece(words: &[(&str, f32)]) -> GgufWriter {
    let mut tokens = vec![("<unk>".to_owned(), UNKNOWN, 0.0)];
    tokens.extend(["<s>", "</s>"].map(|token| (token.to_owned(), CONTROL, 0.0)));
    tokens.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), BYTE, 0.0)));
    tokens.extend(
        words
            .iter()
            .map(|&(word, score)| (word.to_owned(), NORMAL, score)),
    );
    let mut file = tiny_llama();
    let count = tokens.len() as u64;
    let embedding = file.tensor("token_embd.weight");
    embedding.dimensions[0] = count;
    embedding.data = vec![0; usize::try_from(count * 64 / 32 * 34).expect("small")];
    file.remove("tokenizer.ggml.merges");
    file.remove("tokenizer.ggml.pre");
    file.set("tokenizer.ggml.model", "llama");
    file.set(
        "tokenizer.ggml.tokens",
        Value::Texts(tokens.iter().map(|token| token.0.clone()).collect()),
    );
    file.set(
        "tokenizer.ggml.token_type",
        Value::Integers(tokens.iter().map(|token| token.1).collect()),
    );
    file.set(
        "tokenizer.ggml.scores",
        Value::Floats(tokens.iter().map(|token| token.2).collect()),
    );
    file.set("tokenizer.ggml.bos_token_id", 1);
    file.set("tokenizer.ggml.eos_token_id", 2);
    file
}

const WORDS: [(&str, f32); 11] = [
    ("\u{2581}", -10.0),
    ("h", -11.0),
    ("e", -12.0),
    ("l", -13.0),
    ("o", -14.0),
    ("he", -3.0),
    ("ll", -2.0),
    ("el", -1.0),
    ("hel", -4.0),
    ("lo", -5.0),
    ("\u{2581}hel", -6.0),
];
const FIRST_WORD: u32 = 259;

fn tokenizer(file: &GgufWriter) -> (TempDir, ModelDir, Tokenizer) {
    let folder = TempDir::new().expect("a directory");
    let source = folder.path().join("model.gguf");
    fs::write(&source, file.to_bytes()).expect("written");
    let target = folder.path().join("model");
    let model = import_model(&source, &target, Quantization::Int8, &mut |_| {}).expect("imported");
    let tokenizer = Tokenizer::load(&model.tokenizer()).expect("a tokenizer");
    (folder, model, tokenizer)
}

fn text(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let bytes = tokens
        .iter()
        .flat_map(|&token| tokenizer.token_bytes(token));
    String::from_utf8(bytes.copied().collect()).expect("valid text")
}

#[test]
fn the_highest_score_is_joined_first() {
    let (_folder, _model, tokenizer) = tokenizer(&with_sentence_piece(&WORDS));
    let place = |word: &str| {
        let place = WORDS
            .iter()
            .position(|(known, _)| *known == word)
            .expect("a word");
        FIRST_WORD + u32::try_from(place).expect("small")
    };
    // "el" comes before "he" and "ll"; then "hel", and the space before it; "lo" is what is left.
    let tokens = tokenizer.encode("hello").expect("tokens");
    assert_eq!(tokens, [place("\u{2581}hel"), place("lo")]);
    assert_eq!(text(&tokenizer, &tokens), " hello");
}

#[test]
fn letters_without_a_token_become_bytes() {
    let (_folder, _model, tokenizer) = tokenizer(&with_sentence_piece(&WORDS));
    let tokens = tokenizer.encode("\u{e9}\n").expect("tokens");
    assert_eq!(tokens[1..], [3 + 0xc3, 3 + 0xa9, 3 + 0x0a]);
    assert_eq!(text(&tokenizer, &tokens), " \u{e9}\n");
}

#[test]
fn no_space_is_added_where_the_file_says_so() {
    let mut file = with_sentence_piece(&WORDS);
    file.set("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    let (_folder, _model, tokenizer) = tokenizer(&file);
    assert_eq!(
        text(&tokenizer, &tokenizer.encode("hel lo").expect("tokens")),
        "hel lo"
    );
    let markup = tokenizer.encode("<s>hel</s>").expect("tokens");
    assert_eq!((markup[0], markup[markup.len() - 1]), (1, 2));
}

#[test]
fn words_of_llama_3_and_qwen_have_digits_of_their_own_lengths() {
    for (name, expected) in [("llama-bpe", 3), ("qwen2", 1)] {
        let mut file = tiny_llama();
        file.set("tokenizer.ggml.pre", name);
        file.set(
            "tokenizer.ggml.merges",
            Value::Texts(vec!["h e".to_owned(), "l l".to_owned()]),
        );
        let (_folder, model, tokenizer) = tokenizer(&file);
        let json = fs::read_to_string(model.tokenizer()).expect("a file");
        assert_eq!(json.contains("{1,3}"), expected == 3, "{name}");
        let text_of = "hello  12345, it's\n\n z\u{fc}rich";
        assert_eq!(
            text(&tokenizer, &tokenizer.encode(text_of).expect("tokens")),
            text_of
        );
    }
}
