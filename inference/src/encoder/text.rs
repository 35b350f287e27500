//! Texts, pairs and tokens as an encoder's input sequences.

use std::path::Path;

use crate::tokenizer::{EncodeError, TokenizerLoadError};

/// One input of an encoder, special tokens included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    /// Which of two texts each token is of.
    pub(crate) types: Vec<u32>,
}

/// An encoder's tokenizer.
#[derive(Debug)]
pub(crate) struct EncoderTokenizer {
    inner: tokenizers::Tokenizer,
    /// Special tokens before and after a single text.
    around: (Vec<u32>, Vec<u32>),
}

impl EncoderTokenizer {
    /// Loads a `tokenizer.json`; what it says of truncation and padding is for us to do.
    pub(crate) fn load(path: &Path) -> Result<Self, TokenizerLoadError> {
        let load = || {
            let mut inner = tokenizers::Tokenizer::from_file(path)?;
            inner.with_truncation(None)?;
            inner.with_padding(None);
            let around = around(&inner)?;
            Ok(Self { inner, around })
        };
        load().map_err(|source| TokenizerLoadError::new(path, source))
    }

    /// The number of tokens.
    pub(crate) fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// A text.
    pub(crate) fn text(&self, text: &str) -> Result<Sequence, EncodeError> {
        let encoding = self
            .inner
            .encode_fast(text, true)
            .map_err(EncodeError::new)?;
        Ok(sequence(&encoding))
    }

    /// Tokens of a text, with the special ones around them.
    pub(crate) fn tokens(&self, tokens: &[u32]) -> Sequence {
        let (before, after) = &self.around;
        let tokens = [before, tokens, after].concat();
        Sequence {
            types: vec![0; tokens.len()],
            tokens,
        }
    }

    /// Two texts, of which the second is cut where they are longer than `limit` together. `Err` tells the length of the
    /// first one where nothing is left for the second.
    pub(crate) fn pair(
        &self,
        first: &str,
        second: &str,
        limit: usize,
    ) -> Result<Result<Sequence, usize>, EncodeError> {
        let encode = |text: &str| {
            self.inner
                .encode_fast(text, false)
                .map_err(EncodeError::new)
        };
        let (first, mut second) = (encode(first)?, encode(second)?);
        let added = self.special_tokens_of_pairs();
        let room = limit.saturating_sub(first.len() + added);
        if room == 0 {
            return Ok(Err(first.len() + added));
        }
        if second.len() > room {
            second.truncate(room, 0, tokenizers::TruncationDirection::Right);
        }
        let pair = self
            .inner
            .post_process(first, Some(second), true)
            .map_err(EncodeError::new)?;
        Ok(Ok(sequence(&pair)))
    }

    /// The text of tokens, without markup.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        // A token that does not exist has no text; nothing else fails.
        self.inner.decode(tokens, true).unwrap_or_default()
    }

    fn special_tokens_of_pairs(&self) -> usize {
        use tokenizers::PostProcessor as _;
        self.inner
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(true))
    }
}

fn sequence(encoding: &tokenizers::Encoding) -> Sequence {
    Sequence {
        tokens: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().to_vec(),
    }
}

/// What a text has around its own tokens.
fn around(
    inner: &tokenizers::Tokenizer,
) -> Result<(Vec<u32>, Vec<u32>), Box<dyn std::error::Error + Send + Sync>> {
    let own = inner.encode_fast("a", false)?;
    let whole = inner.encode_fast("a", true)?;
    let (own, whole) = (own.get_ids(), whole.get_ids());
    let start = whole
        .windows(own.len().max(1))
        .position(|window| window == own)
        .unwrap_or(0);
    let end = (start + own.len()).min(whole.len());
    Ok((whole[..start].to_vec(), whole[end..].to_vec()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A WordPiece tokenizer of letters: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3, then `a` to `z` as words and as
    /// continuations.
    pub(crate) fn letters_json() -> String {
        let mut vocabulary = String::new();
        for (index, word) in ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].iter().enumerate() {
            write!(vocabulary, "\"{word}\": {index}, ").expect("written");
        }
        for (index, letter) in ('a'..='z').enumerate() {
            write!(
                vocabulary,
                "\"{letter}\": {}, \"##{letter}\": {}{}",
                4 + index,
                30 + index,
                if letter == 'z' { "" } else { ", " }
            )
            .expect("written");
        }
        let special = |id: u32, content: &str| {
            format!(
                r#"{{"id": {id}, "content": "{content}", "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false}}"#
            )
        };
        let added: Vec<_> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
            .iter()
            .zip(0..)
            .map(|(content, id)| special(id, content))
            .collect();
        format!(
            r###"{{"version": "1.0",
            "truncation": {{"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}},
            "padding": null, "added_tokens": [{}],
            "normalizer": {{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                            "strip_accents": null, "lowercase": true}},
            "pre_tokenizer": {{"type": "BertPreTokenizer"}},
            "post_processor": {{"type": "TemplateProcessing",
                "single": [{{"SpecialToken": {{"id": "[CLS]", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": 0}}}},
                           {{"SpecialToken": {{"id": "[SEP]", "type_id": 0}}}}],
                "pair": [{{"SpecialToken": {{"id": "[CLS]", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": 0}}}},
                         {{"SpecialToken": {{"id": "[SEP]", "type_id": 0}}}}, {{"Sequence": {{"id": "B", "type_id": 1}}}},
                         {{"SpecialToken": {{"id": "[SEP]", "type_id": 1}}}}],
                "special_tokens": {{"[CLS]": {{"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
                                    "[SEP]": {{"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}}}},
            "decoder": {{"type": "WordPiece", "prefix": "##", "cleanup": true}},
            "model": {{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                       "max_input_chars_per_word": 100, "vocab": {{{vocabulary}}}}}}}"###,
            added.join(", ")
        )
    }

    pub(crate) fn letters() -> EncoderTokenizer {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), letters_json()).expect("written");
        EncoderTokenizer::load(file.path()).expect("valid")
    }

    #[test]
    fn texts_are_whole_and_tokens_get_the_same_around_them() {
        let tokenizer = letters();
        let text = tokenizer.text("abc abc abc").expect("encodes");
        assert_eq!(text.tokens, [2, 4, 31, 32, 4, 31, 32, 4, 31, 32, 3]);
        let tokens = tokenizer.tokens(&text.tokens[1..10]);
        assert_eq!(tokens, text);
    }

    #[test]
    fn of_a_pair_the_second_text_is_cut() {
        let tokenizer = letters();
        let pair = tokenizer.pair("ab", "abcdef", 8).expect("encodes");
        let pair = pair.expect("room");
        assert_eq!(pair.tokens, [2, 4, 31, 3, 4, 31, 32, 3]);
        assert_eq!(pair.types, [0, 0, 0, 0, 1, 1, 1, 1]);
        let none = tokenizer.pair("abc", "a", 6).expect("encodes");
        assert_eq!(none, Err(6));
    }
}
