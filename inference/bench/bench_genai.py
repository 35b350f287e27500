#!/usr/bin/env python3
"""Measures onnxruntime-genai on the same weights, as `examples/bench_engine` measures ours.

    python bench_genai.py --prepare IMPORTED_DIRECTORY GENAI_DIRECTORY [--same-blocks] [--half]
    python bench_genai.py GENAI_DIRECTORY [THREADS] [--cuda-graph] [--without-arrivals]

`--prepare` rewrites an imported model into the form that onnxruntime-genai's own builder gives to a llama: an
attention mask instead of explicit lengths, logits for every position, and 8-bit weights in blocks of 32 values, its
default (`--same-blocks` keeps ours). `--half` is for a GPU with CUDA: floats of 16 bits, and the provider in the
configuration. The second form prints JSON on one line; a thread count of 0, the default, is all. `--cuda-graph` lets
the peer record a step of decoding and replay it, and measures one client: with that, it takes no prompts of several.
`--without-arrivals` leaves out the clients that come by chance.

Needs Python 3.11 and: onnxruntime-genai==0.18.0 onnxruntime==1.31.1 onnx==1.23.2 numpy
On a GPU instead: onnxruntime-genai-cuda==0.18.0 onnxruntime-gpu==1.31.1
"""

import json
import math
import shutil
import sys
import time
from pathlib import Path

PROMPT = 128
ANSWER = 128
PREFILL = 512
REPEATS = 3
BLOCK = 32
CLIENTS = 8
GPU_CLIENTS = 32
# The requests that come by chance, as in `examples/bench_engine/scenarios.rs`.
ARRIVALS = 32
ARRIVALS_PER_SECOND = 4.0
SEED = 1000
LONGEST = 1024


def prepare(source, target, same_blocks, half):
    import onnx

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    manifest = json.loads((source / "model.json").read_text())
    model = onnx.load(source / "model.onnx")
    rewrite(onnx, model.graph)
    if not same_blocks:
        narrow_blocks(onnx, model.graph)
    if half:
        halve(onnx, model.graph)
    data = {"save_as_external_data": True, "all_tensors_to_one_file": True, "location": "model.onnx.data"}
    onnx.save(model, target / "model.onnx", **data)
    shutil.copy(source / "tokenizer.json", target)
    (target / "genai_config.json").write_text(json.dumps(genai_config(manifest, half), indent=1))


def rewrite(onnx, graph):
    """From lengths and a chosen position to an attention mask and logits for every position."""
    make, types = onnx.helper.make_node, onnx.TensorProto
    dropped = {"seqlens_k", "total_sequence_length", "logits_index"}
    inputs = [value for value in graph.input if value.name not in dropped]
    mask = onnx.helper.make_tensor_value_info("attention_mask", types.INT64, ["batch_size", "total_length"])
    del graph.input[:]
    graph.input.extend([inputs[0], mask, *inputs[1:]])
    graph.initializer.extend(
        [
            onnx.helper.make_tensor("mask.axis", types.INT64, [1], [1]),
            onnx.helper.make_tensor("mask.one", types.INT64, [], [1]),
        ]
    )
    lengths = [
        make("ReduceSum", ["attention_mask", "mask.axis"], ["mask.sum"], keepdims=0),
        make("Sub", ["mask.sum", "mask.one"], ["mask.last"]),
        make("Cast", ["mask.last"], ["seqlens_k"], to=types.INT32),
        make("Shape", ["attention_mask"], ["mask.shape"]),
        make("Gather", ["mask.shape", "mask.one"], ["mask.length"]),
        make("Cast", ["mask.length"], ["total_sequence_length"], to=types.INT32),
    ]
    nodes = [node for node in graph.node if not {"last_token", "final_last"} & set(node.output)]
    for node in nodes:
        for index, name in enumerate(node.input):
            if name == "final_last":
                node.input[index] = "final"
    del graph.node[:]
    graph.node.extend(lengths + nodes)
    logits = next(value for value in graph.output if value.name == "logits")
    vocabulary = logits.type.tensor_type.shape.dim[-1].dim_value
    logits.CopyFrom(
        onnx.helper.make_tensor_value_info("logits", types.FLOAT, ["batch_size", "sequence_length", vocabulary])
    )


def narrow_blocks(onnx, graph):
    """Quantizes the products' weights again, in blocks of BLOCK values."""
    import numpy

    constants = {constant.name: constant for constant in graph.initializer}
    for node in graph.node:
        size = next((setting for setting in node.attribute if setting.name == "block_size"), None)
        if node.op_type != "MatMulNBits" or size.i <= BLOCK or len(node.input) < 4:
            continue
        values, scales, zeros = (onnx.numpy_helper.to_array(constants[name]) for name in node.input[1:4])
        rows, blocks, width = values.shape
        floats = (values.astype(numpy.float32) - zeros.reshape(rows, blocks, 1)) * scales.reshape(rows, blocks, 1)
        parts = floats.reshape(rows, -1, BLOCK)
        low, high = numpy.minimum(parts.min(-1), 0), numpy.maximum(parts.max(-1), 0)
        scale = numpy.maximum((high - low) / 255, 1e-12).astype(numpy.float32)
        zero = numpy.rint(-low / scale).astype(numpy.uint8)
        narrow = numpy.clip(numpy.rint(parts / scale[..., None]) + zero[..., None], 0, 255).astype(numpy.uint8)
        for name, array in zip(node.input[1:4], (narrow, scale, zero)):
            constants[name].CopyFrom(onnx.numpy_helper.from_array(array, name))
        size.i = BLOCK


def halve(onnx, graph):
    """Floats of 16 bits everywhere but in the logits."""
    import numpy

    types = onnx.TensorProto
    for constant in graph.initializer:
        if constant.data_type == types.FLOAT:
            floats = onnx.numpy_helper.to_array(constant).astype(numpy.float16)
            constant.CopyFrom(onnx.numpy_helper.from_array(floats, constant.name))
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type == types.FLOAT and value.name != "logits":
            value.type.tensor_type.elem_type = types.FLOAT16
    last = next(node for node in graph.node if "logits" in node.output)
    last.output[0] = "logits.half"
    graph.node.append(onnx.helper.make_node("Cast", ["logits.half"], ["logits"], to=types.FLOAT))


def genai_config(manifest, half):
    shape, tokens = manifest["architecture"], manifest["tokens"]
    return {
        "model": {
            "type": "llama",
            "bos_token_id": tokens["bos"],
            "eos_token_id": tokens["eos"],
            "pad_token_id": tokens["eos"][0],
            "context_length": shape["contextLength"],
            "vocab_size": shape["vocabularySize"],
            "decoder": {
                "filename": "model.onnx",
                "hidden_size": shape["hiddenSize"],
                "head_size": shape["headSize"],
                "num_attention_heads": shape["heads"],
                "num_key_value_heads": shape["kvHeads"],
                "num_hidden_layers": shape["layers"],
                "session_options": {"provider_options": [{"cuda": {}}] if half else []},
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "max_length": shape["contextLength"],
            "past_present_share_buffer": True,
        },
    }


def tokens(seed, count):
    """Token ids without a meaning, different for each seed: the time does not depend on it."""
    return [100 + (seed * 131 + index * 7919) % 20000 for index in range(count)]


def load(genai, directory, threads, more, cuda_graph=False):
    config = genai.Config(str(directory))
    if cuda_graph:
        config.set_provider_option("cuda", "enable_cuda_graph", "1")
    options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}, **more}))
    return genai.Model(config)


def generate(genai, model, clients, prompt, answer):
    """Seconds for the prompts, and tokens per second of all answers together."""
    import numpy

    parameters = genai.GeneratorParams(model)
    length = prompt + answer + 1
    parameters.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=clients)
    generator = genai.Generator(model, parameters)
    ids = numpy.array([tokens(client, prompt) for client in range(clients)], dtype=numpy.int32)
    begin = time.perf_counter()
    generator.append_tokens(ids)
    # The prompt's logits give the first token without a pass over the model: it belongs to the prompt.
    generator.generate_next_token()
    produced = 0
    # A GPU still computes when those calls return; `is_done` waits for it.
    done = generator.is_done()
    middle = time.perf_counter()
    while produced < answer and not done:
        generator.generate_next_token()
        done = generator.is_done()
        produced += 1
    return middle - begin, clients * produced / (time.perf_counter() - middle)


def due_requests():
    """Seconds after the start, length of the prompt, length of the answer."""
    due = 0.0
    for number in range(ARRIVALS):
        chance = ((SEED + number * 31 + 1) * 7919 % 1009 + 1) / 1010
        due += -math.log(chance) / ARRIVALS_PER_SECOND
        yield due, 16 + ((SEED + number * 131) * 7919) % 400, 16 + (SEED + number * 57) * 104729 % 144


def arrivals(genai, directory, threads):
    """Clients that come by chance, given to the peer's own engine, which with a contiguous cache batches those that
    wait together."""
    import numpy

    more = {"search": {"max_length": LONGEST}, "engine": {"static_batching": {"max_batch_size": CLIENTS}}}
    model = load(genai, directory, threads, more)
    engine = genai.Engine(model)
    events = engine.create_event_buffer(1024)
    waiting = list(due_requests())
    running, times, start = [], [], time.perf_counter()
    while waiting or engine.has_pending_requests():
        now = time.perf_counter() - start
        while waiting and waiting[0][0] <= now:
            _, prompt, answer = waiting.pop(0)
            request = engine.create_request()
            options = genai.TurnOptions(request)
            options.set_do_sample(False)
            options.set_max_generated_tokens(answer)
            options.set_min_generated_tokens(answer)
            request.begin_turn(numpy.array(tokens(len(running), prompt), dtype=numpy.int32), options)
            running.append(request)
            times.append([])
        if not engine.has_pending_requests():
            time.sleep(max(0.0, waiting[0][0] - (time.perf_counter() - start)))
            continue
        engine.run(events)
        now = time.perf_counter() - start
        for index in range(len(events)):
            event = events[index]
            if event.flags & genai.EngineEventFlags.TOKEN:
                times[running.index(event.request)].append(now)
    gaps = sorted(after - before for one in times for before, after in zip(one, one[1:]))
    produced = sum(len(one) for one in times)
    return {
        "arrivals_tokens_per_second": produced / max(one[-1] for one in times),
        "arrivals_gap_p50_seconds": gaps[len(gaps) // 2],
        "arrivals_gap_p99_seconds": gaps[len(gaps) * 99 // 100],
        "arrivals_first_token_p50_seconds": sorted(
            one[0] - due for one, (due, _, _) in zip(times, due_requests())
        )[ARRIVALS // 2],
    }


def decode(genai, model, clients, repeats):
    return max(generate(genai, model, clients, PROMPT, ANSWER)[1] for _ in range(repeats))


def measure(directory, threads, cuda_graph, with_arrivals):
    import onnxruntime_genai as genai

    start = time.perf_counter()
    model = load(genai, directory, threads, {}, cuda_graph)
    generate(genai, model, 1, 1, 1)
    load_seconds = time.perf_counter() - start
    gpu = model.device_type == "CUDA"
    # A GPU loads and chooses its kernels when it first meets a shape.
    repeats = REPEATS if gpu else 1
    prefill = max(PREFILL / generate(genai, model, 1, PREFILL, 1)[0] for _ in range(REPEATS))
    report = {
        "engine": f"onnxruntime-genai {genai.__version__}",
        "threads": threads,
        "load_to_first_token_seconds": load_seconds,
        "prefill_512_tokens_per_second": prefill,
        "decode_1_tokens_per_second": decode(genai, model, 1, repeats),
    }
    if not cuda_graph:
        report["decode_8_tokens_per_second"] = decode(genai, model, CLIENTS, repeats)
    if gpu and not cuda_graph:
        report["decode_32_tokens_per_second"] = decode(genai, model, GPU_CLIENTS, repeats)
    if with_arrivals and not cuda_graph:
        report |= arrivals(genai, directory, threads)
    print(json.dumps(report), flush=True)


def main():
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    flags = {argument for argument in sys.argv[1:] if argument.startswith("-")}
    if "--prepare" in flags and len(names) == 2 and flags <= {"--prepare", "--same-blocks", "--half"}:
        prepare(Path(names[0]), Path(names[1]), "--same-blocks" in flags, "--half" in flags)
    elif len(names) in (1, 2) and flags <= {"--cuda-graph", "--without-arrivals"}:
        threads = int(names[1]) if len(names) == 2 else 0
        measure(Path(names[0]), threads, "--cuda-graph" in flags, "--without-arrivals" not in flags)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
