#!/usr/bin/env python3
"""Writes the fixtures of the sequence-to-sequence tests: tiny models of random weights as Optimum exports them, and the
answers that transformers gives with them.

    python seq2seq.py

Writes tiny-bart/ (a merged decoder), tiny-t5/ (two decoders) and seq2seq.json beside this file. Run it when a case is
added; the tests themselves need no Python.

Needs Python 3.11 and: torch==2.15.0 transformers==4.55.4 optimum-onnx onnx tokenizers
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from optimum.exporters.onnx import main_export
from tokenizers import Tokenizer
from transformers import BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration

HERE = Path(__file__).parent
COMMON = {"vocab_size": 56, "pad_token_id": 0, "eos_token_id": 3, "max_length": 24}
TEXTS = ["a", "hello world", "abcdefghijklmnopqrstuvwxyz", "one two three four", "zz top"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tokenizer():
    """The letters of words: `a` to `z` at the beginning, `##a` to `##z` behind it."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL)}
    for index in range(26):
        letter = chr(97 + index)
        vocabulary[letter] = 4 + index
        vocabulary[f"##{letter}"] = 30 + index
    flags = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    special = {word: {"id": word, "ids": [index], "tokens": [word]} for index, word in enumerate(SPECIAL[2:], 2)}
    return {
        "version": "1.0",
        "added_tokens": [{"id": index, "content": word, **flags} for index, word in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": special,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def bart():
    sizes = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in
             (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))}
    config = BartConfig(
        **COMMON, **sizes, d_model=16, max_position_embeddings=40, bos_token_id=2, decoder_start_token_id=3,
        forced_bos_token_id=2, forced_eos_token_id=3, no_repeat_ngram_size=3, min_length=6,
    )
    return BartForConditionalGeneration(config)


def t5():
    config = T5Config(
        **COMMON, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_decoder_layers=1, num_heads=2, n_positions=40,
        decoder_start_token_id=0, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )
    return T5ForConditionalGeneration(config)


@torch.no_grad()
def fixture(name, make, merges):
    torch.manual_seed(7)
    model = make().eval()
    for parameter in model.parameters():
        parameter.normal_(0, 0.6)
    target = HERE / name
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as exported:
        model.save_pretrained(source)
        main_export(source, exported, task="text2text-generation-with-past", do_validation=False, no_post_process=not merges)
        decoders = ["decoder_model_merged.onnx"] if merges else ["decoder_model.onnx", "decoder_with_past_model.onnx"]
        target.mkdir()
        for file in ["config.json", "generation_config.json", "encoder_model.onnx", *decoders]:
            shutil.copy(Path(exported) / file, target / file)
    (target / "tokenizer.json").write_text(json.dumps(tokenizer()))
    letters = Tokenizer.from_file(str(target / "tokenizer.json"))
    cases = []
    for text in TEXTS:
        tokens = letters.encode(text).ids
        answer = model.generate(torch.tensor([tokens]), num_beams=1, do_sample=False)[0].tolist()[1:]
        cases.append({"text": text, "tokens": len(tokens), "answerTokens": len(answer), "answer": letters.decode(answer)})
    return cases


def main():
    expected = {"bart": fixture("tiny-bart", bart, True), "t5": fixture("tiny-t5", t5, False)}
    (HERE / "seq2seq.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
