#!/usr/bin/env python3
"""Writes a BERT encoder as the ONNX graph that Optimum exports: standard operators, padded rows, 32 bit floats.

    python export_bert.py SOURCE TARGET

SOURCE is a Hugging Face directory with config.json, model.safetensors and tokenizer.json. TARGET gets model.onnx beside
copies of the other files, so that onnxruntime and our engine can run the same graph.

Needs: onnx numpy safetensors
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self):
        self.nodes = []
        self.constants = []

    def constant(self, name, values):
        if all(constant.name != name for constant in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind, inputs, output, **settings):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **settings))
        return output


def linear(graph, weights, name, source, output):
    product = graph.node("MatMul", [source, graph.constant(f"{name}.weight", weights[f"{name}.weight"].T)], f"{output}.product")
    return graph.node("Add", [product, graph.constant(f"{name}.bias", weights[f"{name}.bias"])], output)


def norm(graph, weights, name, source, output, epsilon):
    parts = [graph.constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")]
    return graph.node("LayerNormalization", [source, *parts], output, axis=-1, epsilon=epsilon)


def embed(graph, weights, epsilon):
    tables = {kind: f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
    for name in tables.values():
        graph.constant(name, weights[name])
    words = graph.node("Gather", [tables["word"], "input_ids"], "words")
    types = graph.node("Gather", [tables["token_type"], "token_type_ids"], "types")
    length = graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    zero = graph.constant("zero", np.array([0], np.int64))
    positions = graph.node("Slice", [tables["position"], zero, length, zero], "positions")
    both = graph.node("Add", [words, types], "words_and_types")
    return norm(graph, weights, "embeddings.LayerNorm", graph.node("Add", [both, positions], "placed"), "embedded", epsilon)


def hide_padding(graph):
    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    padding = graph.node("Sub", [graph.constant("one", np.float32(1)), mask], "padding")
    lowest = graph.constant("lowest", np.float32(np.finfo(np.float32).min))
    axes = graph.constant("axes", np.array([1, 2], np.int64))
    return graph.node("Unsqueeze", [graph.node("Mul", [padding, lowest], "hidden_padding"), axes], "mask_bias")


def attend(graph, weights, layer, source, heads, size):
    at, out = f"encoder.layer.{layer}.attention", f"layer.{layer}"
    shape = graph.constant("heads", np.array([0, 0, heads, size], np.int64))
    parts = {}
    for name, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        whole = linear(graph, weights, f"{at}.self.{name}", source, f"{out}.{name}")
        split = graph.node("Reshape", [whole, shape], f"{out}.{name}.split")
        parts[name] = graph.node("Transpose", [split], f"{out}.{name}.heads", perm=order)
    scores = graph.node("MatMul", [parts["query"], parts["key"]], f"{out}.products")
    scores = graph.node("Div", [scores, graph.constant("root", np.float32(size**0.5))], f"{out}.scores")
    scores = graph.node("Add", [scores, "mask_bias"], f"{out}.masked")
    shares = graph.node("Softmax", [scores], f"{out}.shares", axis=-1)
    seen = graph.node("MatMul", [shares, parts["value"]], f"{out}.seen")
    seen = graph.node("Transpose", [seen], f"{out}.seen.rows", perm=[0, 2, 1, 3])
    joined = graph.constant("joined", np.array([0, 0, heads * size], np.int64))
    return linear(graph, weights, f"{at}.output.dense", graph.node("Reshape", [seen, joined], f"{out}.context"), f"{out}.mixed")


def bend(graph, weights, layer, source):
    out = f"layer.{layer}"
    wide = linear(graph, weights, f"encoder.layer.{layer}.intermediate.dense", source, f"{out}.wide")
    scaled = graph.node("Div", [wide, graph.constant("root_of_two", np.float32(2**0.5))], f"{out}.scaled")
    erf = graph.node("Add", [graph.node("Erf", [scaled], f"{out}.erf"), graph.constant("one", np.float32(1))], f"{out}.share")
    bent = graph.node("Mul", [graph.node("Mul", [wide, erf], f"{out}.twice"), graph.constant("half", np.float32(0.5))], f"{out}.bent")
    return linear(graph, weights, f"encoder.layer.{layer}.output.dense", bent, f"{out}.narrow")


def main(source, target):
    source, target = Path(source), Path(target)
    config = json.loads((source / "config.json").read_text())
    weights = {name.removeprefix("bert."): values for name, values in load_file(source / "model.safetensors").items()}
    hidden, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    graph = Graph()
    state = embed(graph, weights, epsilon)
    hide_padding(graph)
    for layer in range(config["num_hidden_layers"]):
        at, out = f"encoder.layer.{layer}", f"layer.{layer}"
        mixed = attend(graph, weights, layer, state, heads, hidden // heads)
        sum_ = graph.node("Add", [mixed, state], f"{out}.first_sum")
        attended = norm(graph, weights, f"{at}.attention.output.LayerNorm", sum_, f"{out}.attended", epsilon)
        narrow = bend(graph, weights, layer, attended)
        sum_ = graph.node("Add", [narrow, attended], f"{out}.second_sum")
        state = norm(graph, weights, f"{at}.output.LayerNorm", sum_, f"{out}.output", epsilon)
    graph.node("Identity", [state], "last_hidden_state")
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden])
    made = helper.make_graph(graph.nodes, "bert", inputs, [output], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    ignored = shutil.ignore_patterns("*.safetensors", "*.bin", "*.py", "__pycache__")
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
    onnx.save(model, target / "model.onnx")


if __name__ == "__main__":
    main(*sys.argv[1:])
