#!/usr/bin/env python3
"""Measures what text-embeddings-inference does with an encoder, without its server: the sentences that wait are sorted by
length, padded to the longest of their batch, and run by onnxruntime.

    python onnxruntime_embed.py DIRECTORY TEXT [THREADS]

DIRECTORY holds model.onnx (inputs input_ids, attention_mask and token_type_ids, output last_hidden_state) and
tokenizer.json, as `export_bert.py` and Optimum write them; TEXT is a file whose words make the sentences. For 1, 8 and
32 clients, as many sentences wait each time. Prints one line of JSON, as the example `bench_embed` does.

Needs: onnxruntime==1.31.1 tokenizers numpy
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

SENTENCES = 512
CLIENTS = (1, 8, 32)
ROUNDS = 3
# The default of text-embeddings-inference, padding included.
BATCH_TOKENS = 16384


def sentences(text):
    words = text.split()
    pieces = []
    for index in range(SENTENCES):
        start, length = index * 131, 4 + index * 7919 % 57
        pieces.append(" ".join(words[at % len(words)] for at in range(start, start + length)))
    return pieces


def batches(encodings):
    """Cuts what is sorted by length where the padded batch would be too large."""
    batch, longest = [], 0
    for encoding in sorted(encodings, key=lambda encoding: len(encoding.ids)):
        longest = max(longest, len(encoding.ids))
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch, longest = [], len(encoding.ids)
        batch.append(encoding)
    yield batch


def embed(session, encodings):
    for batch in batches(encodings):
        longest = max(len(encoding.ids) for encoding in batch)
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(batch):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = session.run(["last_hidden_state"], inputs)
        weights = mask[:, :, None].astype(np.float32)
        vectors = (hidden * weights).sum(1) / weights.sum(1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)


def rate(session, tokenizer, texts, clients):
    start = time.perf_counter()
    for first in range(0, len(texts), clients):
        embed(session, tokenizer.encode_batch(texts[first : first + clients]))
    return len(texts) / (time.perf_counter() - start)


def main(directory, text, threads=0):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    path = Path(directory)
    session = onnxruntime.InferenceSession(str(path / "model.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts = sentences(Path(text).read_text())
    rate(session, tokenizer, texts[:32], 8)
    rates = {}
    for clients in CLIENTS:
        seen = sorted(rate(session, tokenizer, texts, clients) for _ in range(ROUNDS))
        rates[str(clients)] = seen[ROUNDS // 2]
    print(json.dumps({"engine": "onnxruntime", "threads": int(threads), "sentences_per_second": rates}))


if __name__ == "__main__":
    main(*sys.argv[1:])
