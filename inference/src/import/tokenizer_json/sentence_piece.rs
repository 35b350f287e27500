//! SentencePiece's BPE, whose file has scores instead of merges.
//!
//! Its encoder joins the two neighbours whose joined token has the highest score, again and again. That is BPE with a
//! merge for every way to cut a token into two tokens, the highest scores first.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{TokenizerError, UNKNOWN, USER_DEFINED, added_tokens, vocabulary};
use crate::import::gguf::{Metadata, MetadataError};

/// What stands for a space.
const SPACE: &str = "\u{2581}";
const NORMAL: i64 = 1;
const BYTE: i64 = 6;

/// The content of `tokenizer.json`.
pub(super) fn describe(
    metadata: &Metadata,
    tokens: &[&str],
    types: &[i64],
) -> Result<Value, TokenizerError> {
    let scores = metadata.floats("tokenizer.ggml.scores")?;
    if scores.len() != tokens.len() {
        return Err(TokenizerError::LengthMismatch {
            list: "scores",
            tokens: tokens.len(),
            found: scores.len(),
        });
    }
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(TokenizerError::Score);
    }
    let unknown = types.iter().position(|&kind| kind == UNKNOWN);
    let has_bytes = types.contains(&BYTE);
    if unknown.is_none() && !has_bytes {
        return Err(MetadataError::Missing {
            key: "tokenizer.ggml.unknown_token_id".to_owned(),
        }
        .into());
    }
    let adds_space = metadata
        .optional_bool("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let vocabulary = vocabulary(tokens)?;
    let merges = merges(&vocabulary, tokens, types, &scores);
    let to_space = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let from_space = json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "});
    let (byte_fallback, fuse) = (json!({"type": "ByteFallback"}), json!({"type": "Fuse"}));
    let (normalizer, decoders) = if adds_space {
        let prepend = json!({"type": "Prepend", "prepend": SPACE});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        (
            json!({"type": "Sequence", "normalizers": [prepend, to_space]}),
            vec![from_space, byte_fallback, fuse, strip],
        )
    } else {
        (to_space, vec![from_space, byte_fallback, fuse])
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(tokens, types),
        "normalizer": normalizer,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": unknown.map(|id| tokens[id]),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": has_bytes,
            "ignore_merges": false,
            "vocab": vocabulary,
            "merges": merges,
        },
    }))
}

fn merges<'a>(
    vocabulary: &BTreeMap<&str, usize>,
    tokens: &[&'a str],
    types: &[i64],
    scores: &[f64],
) -> Vec<(&'a str, &'a str)> {
    let mut merges = Vec::new();
    let joined = tokens.iter().zip(scores).zip(types);
    // Only what is text is ever put together from parts.
    for ((token, &score), _) in joined.filter(|(_, kind)| matches!(**kind, NORMAL | USER_DEFINED)) {
        let mut cuts: Vec<_> = token
            .char_indices()
            .skip(1)
            .filter_map(|(place, _)| {
                let (left, right) = token.split_at(place);
                Some((vocabulary.get(left)?, vocabulary.get(right)?, left, right))
            })
            .collect();
        cuts.sort_unstable_by_key(|&(left_id, right_id, ..)| (left_id, right_id));
        merges.extend(
            cuts.into_iter()
                .map(|(_, _, left, right)| (score, left, right)),
        );
    }
    let letters = |text: &str| text.chars().count();
    merges.sort_by(|(one, one_left, one_right), (two, two_left, two_right)| {
        two.total_cmp(one)
            .then_with(|| letters(two_left).cmp(&letters(one_left)))
            .then_with(|| letters(two_right).cmp(&letters(one_right)))
    });
    merges
        .into_iter()
        .map(|(_, left, right)| (left, right))
        .collect()
}
