#!/usr/bin/env python3
"""Writes what the gguf package decodes from blocks of pseudo-random bytes, for the test of the K encodings.

    python k_quants.py [OUTPUT.json]

Needs Python 3.11 and: gguf==0.19.0 numpy
"""

import json
import sys
from pathlib import Path

import numpy
from gguf import GGMLQuantizationType, dequantize

# The bytes of a block, and where its 16 bit floats lie.
ENCODINGS = {
    "Q2_K": (84, [80, 82]),
    "Q3_K": (110, [108]),
    "Q4_K": (144, [0, 2]),
    "Q5_K": (176, [0, 2]),
    "Q6_K": (210, [208]),
}
STRIDE = 3


def block(size, floats):
    state, values = 0x2545F4914F6CDD1D, bytearray()
    for _ in range(size):
        state ^= state << 13 & (2**64 - 1)
        state ^= state >> 7
        state ^= state << 17 & (2**64 - 1)
        values.append(state >> 56)
    for number, place in enumerate(floats):
        values[place : place + 2] = numpy.float16(0.0625 * (number + 1)).tobytes()
    return numpy.frombuffer(bytes(values), dtype=numpy.uint8)


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("k_quants.json")
    lines = []
    for name, (size, floats) in ENCODINGS.items():
        values = dequantize(block(size, floats), GGMLQuantizationType[name]).astype(float)[::STRIDE]
        lines.append(f'"{name}": {json.dumps(values.tolist())}')
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
