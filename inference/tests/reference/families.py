#!/usr/bin/env python3
"""Writes the expected logits of the families of models that can be imported: tiny ones, of weights that follow from
their names, as the tests make them, too.

    python families.py [OUTPUT.json]

Run it when a family is added; the tests themselves need no Python. Everything is computed by transformers in 32 bit
floats, without the code under test.

Needs Python 3.11 and: torch==2.15.0 transformers==5.23.0
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

# The first logits are those after this many tokens at once, the others those after single ones.
PROMPT = 12
TOKENS = [(7 * i * i + 3 * i + 11) % 260 for i in range(24)]
CHECKED = [PROMPT - 1, PROMPT + 3, len(TOKENS) - 1]
# Every fourth logit, and the normalization of them all.
STRIDE = 4
# Shorter than the tokens, so that windows matter.
WINDOW = 6

COMMON = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 260,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": None,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}

CASES = {
    "llama": {"model_type": "llama", "rope_parameters": LLAMA3, "tie_word_embeddings": False},
    "llama-with-biases": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": True,
    },
    "mistral": {
        "model_type": "mistral",
        "rope_parameters": PLAIN,
        "sliding_window": WINDOW,
        "tie_word_embeddings": False,
    },
    "qwen2": {"model_type": "qwen2", "rope_parameters": PLAIN, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "rope_parameters": PLAIN, "tie_word_embeddings": False},
    "gemma": {
        "model_type": "gemma",
        "rope_parameters": PLAIN,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
    },
    "gemma2": {
        "model_type": "gemma2",
        "rope_parameters": PLAIN,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 16,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
        "sliding_window": WINDOW,
        "tie_word_embeddings": True,
    },
    "gemma3": {
        "model_type": "gemma3_text",
        "num_hidden_layers": 7,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 16,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
        "tie_word_embeddings": True,
    },
}


def weights(name, shape, is_centred_norm):
    """Xorshift from a hash of the name: values from -0.25 to 0.25 in steps of 1/512; norms lie around one."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    values = []
    for _ in range(torch.Size(shape).numel()):
        state ^= state << 13 & (2**64 - 1)
        state ^= state >> 7
        state ^= state << 17 & (2**64 - 1)
        values.append(((state >> 56) - 128) / 512)
    offset = 1.0 if "norm" in name and not is_centred_norm else 0.0
    return torch.tensor(values, dtype=torch.float32).reshape(shape) + offset


@torch.no_grad()
def logits(name, settings):
    settings = {**COMMON, **settings}
    config = AutoConfig.for_model(**settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    is_centred_norm = name.startswith("gemma")
    for tensor, parameter in model.named_parameters():
        parameter.copy_(weights(tensor, parameter.shape, is_centred_norm))
    output = model(torch.tensor([TOKENS]), use_cache=False).logits[0]
    rows = []
    for place in CHECKED:
        row = output[place]
        chosen = [round(value, 5) for value in row[::STRIDE].tolist()]
        rows.append({"place": place, "logsumexp": round(torch.logsumexp(row, 0).item(), 5), "logits": chosen})
    print(f"{name}: {output.std():.3f} {output.abs().max():.3f}", flush=True)
    return {"name": name, "config": settings, "rows": rows}


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("families.json")
    cases = [json.dumps(logits(name, settings)) for name, settings in CASES.items()]
    head = json.dumps({"prompt": PROMPT, "tokens": TOKENS, "stride": STRIDE})[1:-1]
    target.write_text("{" + head + ', "cases": [\n' + ",\n".join(cases) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
