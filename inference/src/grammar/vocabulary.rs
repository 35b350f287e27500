//! A model's tokens as grammars know them.

use std::sync::Arc;

use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::tokenizer::Tokenizer;

/// A tokenizer whose tokens are known as bytes.
pub(super) struct TokenBytes {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

/// Of a model; there must be a token that ends answers.
pub(super) fn environment(tokenizer: &Arc<Tokenizer>, eos: &[u32]) -> TokEnv {
    let size = u32::try_from(tokenizer.vocabulary_size()).unwrap_or(u32::MAX);
    let bytes: Vec<Vec<u8>> = (0..size)
        // Markup has no bytes, so no grammar ever allows it.
        .map(|token| tokenizer.text_bytes(token).to_vec())
        .collect();
    let first_eos = eos.first().copied().unwrap_or_default();
    let trie = TokTrie::from(&TokRxInfo::new(size, first_eos), &bytes);
    let trie = if eos.is_empty() {
        trie
    } else {
        trie.with_eos_tokens(eos)
    };
    Arc::new(TokenBytes {
        trie,
        tokenizer: Arc::clone(tokenizer),
    })
}

impl TokenizerEnv for TokenBytes {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let encode = |text: &str| {
            let tokens = self.tokenizer.encode_text(text).unwrap_or_default();
            // Some tokenizers change text, e.g. by a space before it; a grammar needs exactly these bytes.
            let is_exact = self.trie.decode_raw(&tokens) == text.as_bytes();
            if is_exact {
                tokens
            } else {
                self.trie.greedy_tokenize(text.as_bytes())
            }
        };
        self.trie.tokenize_with_greedy_fallback(bytes, encode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::bytes_tokenizer;

    #[test]
    fn text_and_broken_bytes_become_tokens_and_markup_has_none() {
        let environment = environment(&Arc::new(bytes_tokenizer()), &[257]);
        assert_eq!(
            environment.tokenize_bytes(b"he\xff\xc3\xa9"),
            [258, 0xff, 0xc3, 0xa9]
        );
        assert_eq!(environment.tok_trie().token_id(b"he"), Some(258));
        assert!(environment.tok_trie().token(256).is_empty());
        assert_eq!(environment.tok_trie().eos_tokens(), [257]);
    }
}
