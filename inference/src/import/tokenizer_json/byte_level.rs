//! Byte-level BPE, whose file gives the rule that splits text into words only as a name.

use serde_json::{Value, json};

use super::{TokenizerError, added_tokens, vocabulary};
use crate::import::gguf::Metadata;

/// How text is split before it is merged, for a name of `tokenizer.ggml.pre`.
struct Rule {
    names: &'static [&'static str],
    split: Split,
    /// Whether text is put into the composed form of Unicode first.
    normalizes: bool,
    /// Whether a word that is a token is taken whole, however it would be merged.
    ignores_merges: bool,
}

enum Split {
    /// GPT-2's own expression.
    Words,
    /// The same, and each digit of its own.
    WordsAndDigits,
    /// Another expression.
    Expression(&'static str),
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const RULES: [Rule; 5] = [
    Rule {
        names: &["gpt-2"],
        split: Split::Words,
        normalizes: false,
        ignores_merges: false,
    },
    Rule {
        names: &["smollm"],
        split: Split::WordsAndDigits,
        normalizes: false,
        ignores_merges: false,
    },
    Rule {
        names: &["llama-bpe", "llama3", "llama-v3"],
        split: Split::Expression(LLAMA3),
        normalizes: false,
        ignores_merges: true,
    },
    Rule {
        names: &["qwen2", "deepseek-r1-qwen"],
        split: Split::Expression(QWEN2),
        normalizes: true,
        ignores_merges: false,
    },
    Rule {
        names: &["tekken"],
        split: Split::Expression(TEKKEN),
        normalizes: false,
        ignores_merges: true,
    },
];

pub(super) fn supported_names() -> String {
    let names: Vec<_> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
    names.join(", ")
}

/// The content of `tokenizer.json`.
pub(super) fn describe(
    metadata: &Metadata,
    tokens: &[&str],
    types: &[i64],
) -> Result<Value, TokenizerError> {
    let name = metadata.string("tokenizer.ggml.pre")?;
    let known = RULES.iter().find(|rule| rule.names.contains(&name));
    let rule = known.ok_or_else(|| TokenizerError::PreTokenizer {
        found: name.to_owned(),
    })?;
    let normalizer = rule.normalizes.then(|| json!({"type": "NFC"}));
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(tokens, types),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer(&rule.split),
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": rule.ignores_merges,
            "vocab": vocabulary(tokens)?,
            "merges": merges(&metadata.strings("tokenizer.ggml.merges")?)?,
        },
    }))
}

fn pre_tokenizer(split: &Split) -> Value {
    let bytes = |use_regex| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let first = match split {
        Split::Words => return bytes(true),
        Split::WordsAndDigits => json!({"type": "Digits", "individual_digits": true}),
        Split::Expression(expression) => {
            json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false})
        }
    };
    let then = bytes(matches!(split, Split::WordsAndDigits));
    json!({"type": "Sequence", "pretokenizers": [first, then]})
}

fn merges<'a>(merges: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, TokenizerError> {
    let split = |(index, merge): (usize, &&'a str)| match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok((left, right))
        }
        _ => Err(TokenizerError::Merge {
            index,
            found: (*merge).to_owned(),
        }),
    };
    merges.iter().enumerate().map(split).collect()
}
