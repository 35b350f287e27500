"""What a local model honours, with the official `openai` client for Python: tools, forms, probabilities, several answers.

Environment: OPENAI_BASE_URL, OPENAI_API_KEY, SSL_CERT_FILE (the gateway's CA).
"""

import json

import openai
from checks import check
from pydantic import BaseModel

MODEL = "smollm2"
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Tells the weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "time"}},
]


client = openai.OpenAI(max_retries=0)


def chat(**fields):
    return client.chat.completions.create(**({"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 200} | fields))


# Tools.
named = {"type": "function", "function": {"name": "weather"}}
answer = chat(tools=TOOLS, tool_choice=named).choices[0]
call = answer.message.tool_calls[0]
arguments = json.loads(call.function.arguments)
check(call.function.name == "weather" and arguments["city"] in ("Paris", "Rome"), f"a named tool is called: {arguments}")
check(answer.finish_reason == "tool_calls" and answer.message.content is None, "the answer is nothing but the call")
with client.chat.completions.stream(
    model=MODEL, messages=QUESTION, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, temperature=0, max_tokens=200
) as stream:
    pieces = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
    final = stream.get_final_completion().choices[0]
streamed = final.message.tool_calls
check(len(streamed) == 1 and final.finish_reason == "tool_calls", "a required tool is called, once")
check("".join(piece.arguments_delta for piece in pieces) == streamed[0].function.arguments, f"its arguments come in {len(pieces)} pieces")
result = {"role": "tool", "tool_call_id": call.id, "content": "It is sunny and 25 degrees."}
asked = [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}, result]
told = chat(messages=asked, max_tokens=40).choices[0].message.content
check(told, f"the conversation goes on with the result: {told!r}")
check(chat(tools=TOOLS, tool_choice="none", max_tokens=8).choices[0].message.tool_calls is None, "none calls nothing")


# Forms.
class City(BaseModel):
    name: str
    is_capital: bool


schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
form = {"type": "json_schema", "json_schema": {"name": "ok", "strict": True, "schema": schema}}
said = chat(response_format=form).choices[0].message.content
check(isinstance(json.loads(said)["ok"], bool), f"JSON of a schema: {said!r}")
parsed = client.chat.completions.parse(
    model=MODEL, messages=[{"role": "user", "content": "Name the capital of France, as JSON."}], response_format=City, temperature=0, max_tokens=200
)
check(isinstance(parsed.choices[0].message.parsed, City), f"a class: {parsed.choices[0].message.parsed!r}")
said = chat(extra_body={"structured_outputs": {"regex": "[a-c]{3}!"}}).choices[0].message.content
check(len(said) == 4 and said[3] == "!" and set(said[:3]) <= set("abc"), f"a regular expression: {said!r}")
said = chat(extra_body={"guided_choice": ["sunny", "rainy"]}).choices[0].message.content
check(said in ("sunny", "rainy"), f"a choice: {said!r}")
response = client.responses.create(
    model=MODEL, input="Is it fine?", temperature=0, text={"format": {"type": "json_schema", "name": "ok", "schema": schema}}
)
check(isinstance(json.loads(response.output_text)["ok"], bool), f"a response in a form: {response.output_text!r}")
response = client.responses.create(
    model=MODEL, input="The weather in Rome?", tools=[{"type": "function", **TOOLS[0]["function"]}], tool_choice="required",
    parallel_tool_calls=False, temperature=0, max_output_tokens=200,
)
check(response.output[0].type == "function_call" and json.loads(response.output[0].arguments), "a response calls a tool")
# A limit that no two calls fit in.
response = client.responses.create(
    model=MODEL, input="The weather in Rome?", tools=[{"type": "function", **TOOLS[0]["function"]}], tool_choice="required", max_output_tokens=50
)
items = [(item.type, item.status) for item in response.output]
check(response.status != "incomplete" or items[-1] == ("function_call", "incomplete"), f"a response that is cut off says where: {items}")
try:
    chat(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"not": {}}}})
    raise SystemExit("FAILED: an unsupported keyword: no error")
except openai.BadRequestError as error:
    check("not" in error.message and error.param == "response_format", f"an unsupported keyword is 400: {error.message}")

# Probabilities.
answer = chat(logprobs=True, top_logprobs=3, max_tokens=5).choices[0]
tokens = answer.logprobs.content
check("".join(token.token for token in tokens) == answer.message.content, f"probabilities of {len(tokens)} tokens")
check(all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens), "and of the three likeliest")
chunks = [chunk.choices[0] for chunk in chat(logprobs=True, max_tokens=5, stream=True)]
streamed = [token for choice in chunks if choice.logprobs for token in choice.logprobs.content]
check([token.token for token in streamed] == [token.token for token in tokens], "the same in pieces")
text = client.completions.create(model=MODEL, prompt="The capital of France is", temperature=0, max_tokens=4, logprobs=2).choices[0]
check("".join(text.logprobs.tokens) == text.text and text.logprobs.text_offset[0] == 0, f"also of a text: {text.logprobs.tokens}")

# Several answers.
one = chat(max_tokens=6)
many = chat(n=3, max_tokens=6, temperature=1, seed=5)
check([choice.index for choice in many.choices] == [0, 1, 2], "three answers have their numbers")
check(many.usage.prompt_tokens == one.usage.prompt_tokens, "and count their prompt once")
seen, usage = {}, None
for chunk in chat(n=3, max_tokens=6, temperature=1, seed=5, stream=True, stream_options={"include_usage": True}):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        seen[choice.index] = seen.get(choice.index, "") + (choice.delta.content or "")
check([seen[index] for index in range(3)] == [choice.message.content for choice in many.choices], "the same in pieces")
check(usage == many.usage, f"and cost the same: {usage.total_tokens} tokens")

# What changes which token is chosen.
plain = one.choices[0].message.content
for name, value in {"presence_penalty": 2, "frequency_penalty": 2}.items():
    check(chat(max_tokens=6, **{name: value}).choices[0].message.content, f"{name} is honoured")
forced = chat(max_tokens=3, logit_bias={"33": 100}).choices[0].message.content
check(forced and not plain.startswith(forced), f"logit_bias is honoured: {forced!r}")
check(chat(max_tokens=3, extra_body={"min_p": 0.1, "repetition_penalty": 1.3, "top_k": 5}).choices[0].message.content, "min_p is honoured")
print("the openai client finds what a local model honours")
