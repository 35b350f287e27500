"""Every endpoint and every class of errors, with the official `anthropic` client for Python.

Argument: the version of HTTP. Environment: ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY, SSL_CERT_FILE (the gateway's CA).
"""

import sys

import anthropic
from checks import check, http_client

WORDS = [{"role": "user", "content": "Say hello."}]
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def refused(expected, status, kind, call, what):
    try:
        call()
    except expected as error:
        check(error.status_code == status, f"{what} is {status}: {error.message}")
        check(error.body["error"]["type"] == kind, f"{what} is told as {kind}")
        check(error.request_id, f"{what} names its request")
        return
    raise SystemExit(f"FAILED: {what}: no error")


client = anthropic.Anthropic(max_retries=0, http_client=http_client(anthropic, sys.argv[1] == "2"))
create = client.messages.create

answer = create(model="good", max_tokens=9, system="Be brief.", messages=WORDS)
check(answer.content[0].text == "Hello" and answer.stop_reason == "end_turn", "a message says hello")
check((answer.usage.input_tokens, answer.usage.output_tokens) == (3, 2), "its usage is counted")
called = create(model="good", max_tokens=9, messages=WORDS, tools=[TOOL], tool_choice={"type": "any"})
check(called.stop_reason == "tool_use" and called.content[0].input == {"city": "Oslo"}, "a tool is called")
result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": "rain"}
turns = [*WORDS, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
check(create(model="good", max_tokens=9, messages=turns).content[0].text == "Hello", "its result is taken")

with client.messages.stream(model="good", max_tokens=9, messages=WORDS) as stream:
    said = "".join(stream.text_stream)
    final = stream.get_final_message()
check(said == "Hello" and final.usage.output_tokens == 2, "a message streams to its end")
with client.messages.stream(model="good", max_tokens=9, messages=WORDS, tools=[TOOL]) as stream:
    final = stream.get_final_message()
check(final.content[0].input == {"city": "Oslo"} and final.stop_reason == "tool_use", "a tool is called in pieces")

question = [{"role": "user", "content": "What is the capital of France?"}]
local = create(model="smollm2", max_tokens=16, messages=question, extra_body={"temperature": 0})
check("Paris" in local.content[0].text, f"a local model answers: {local.content[0].text!r}")
count = client.messages.count_tokens(model="smollm2", messages=question)
# What the model had computed for an earlier client is counted apart.
whole = local.usage.input_tokens + (local.usage.cache_read_input_tokens or 0)
check(count.input_tokens == whole, f"a local model counts {count.input_tokens} tokens exactly")
tool = {"name": "capital", "input_schema": {"type": "object", "properties": {"of": {"enum": ["France"]}}, "required": ["of"], "additionalProperties": False}}
chosen = {"type": "tool", "name": "capital", "disable_parallel_tool_use": True}
used = create(model="smollm2", max_tokens=200, messages=question, tools=[tool], tool_choice=chosen)
check(used.content[0].input == {"of": "France"} and used.stop_reason == "tool_use", "a local model uses a tool")
with client.messages.stream(model="smollm2", max_tokens=200, messages=question, tools=[tool], tool_choice={"type": "any"}) as stream:
    final = stream.get_final_message()
check(final.content[0].input == {"of": "France"}, "also in pieces")
result = {"type": "tool_result", "tool_use_id": used.content[0].id, "content": "Paris"}
turns = [*question, {"role": "assistant", "content": [used.content[0].model_dump()]}, {"role": "user", "content": [result]}]
told = create(model="smollm2", max_tokens=40, messages=turns, extra_body={"temperature": 0})
check(told.content[0].text, f"and goes on with its result: {told.content[0].text!r}")
raw = client.messages.with_raw_response.count_tokens(model="good", messages=question)
check(raw.headers["x-claw-token-count"] == "estimate" and raw.parse().input_tokens > 0, "a remote one is estimated")

refused(anthropic.BadRequestError, 400, "invalid_request_error", lambda: create(model="smollm2", max_tokens=9, messages=WORDS, thinking={"type": "enabled", "budget_tokens": 1024}), "thinking of a local model")
refused(anthropic.AuthenticationError, 401, "authentication_error", lambda: client.with_options(api_key="wrong").messages.create(model="good", max_tokens=9, messages=WORDS), "a wrong key")
expired = client.with_options(api_key="clients-key-that-was-good-once")
refused(anthropic.AuthenticationError, 401, "authentication_error", lambda: expired.messages.create(model="good", max_tokens=9, messages=WORDS), "an expired key")
narrow = client.with_options(api_key="clients-key-that-may-do-little")
refused(anthropic.PermissionDeniedError, 403, "permission_error", lambda: narrow.messages.count_tokens(model="good", messages=WORDS), "a path that a key may not use")
refused(anthropic.BadRequestError, 400, "invalid_request_error", lambda: create(model="smollm2", max_tokens=9, messages=[{"role": "user", "content": "far " * 8_000}]), "a prompt longer than its model reads")
refused(anthropic.APIStatusError, 415, "invalid_request_error", lambda: create(model="good", max_tokens=9, messages=WORDS, extra_headers={"content-encoding": "gzip"}), "a compressed body")
refused(anthropic.UnprocessableEntityError, 422, "invalid_request_error", lambda: create(model="picky", max_tokens=9, messages=WORDS), "a refusal of the API")
refused(anthropic.NotFoundError, 404, "not_found_error", lambda: create(model="nope", max_tokens=9, messages=WORDS), "an unknown model")
refused(anthropic.APIStatusError, 413, "request_too_large", lambda: create(model="good", max_tokens=9, messages=[{"role": "user", "content": "x" * 70_000}]), "a long body")
refused(anthropic.RateLimitError, 429, "rate_limit_error", lambda: create(model="busy", max_tokens=9, messages=WORDS), "a busy API")
refused(anthropic.InternalServerError, 502, "api_error", lambda: create(model="broken", max_tokens=9, messages=WORDS), "a broken API")
refused(anthropic.APIStatusError, 503, "overloaded_error", lambda: create(model="absent", max_tokens=9, messages=WORDS), "a model whose files are not there")
refused(anthropic.APIStatusError, 504, "timeout_error", lambda: create(model="hasty", max_tokens=9, messages=WORDS), "an API that says nothing")
single = client.with_options(api_key="clients-key-for-one-at-a-time").messages
with single.stream(model="stalls", max_tokens=9, messages=WORDS) as stream:
    check(next(stream.text_stream) == "Hel", "one answer at a time is given")
    refused(anthropic.RateLimitError, 429, "rate_limit_error", lambda: single.create(model="good", max_tokens=9, messages=WORDS), "a second one at once")
try:
    with client.messages.stream(model="cut", max_tokens=9, messages=WORDS) as stream:
        stream.get_final_message()
    raise SystemExit("FAILED: a stream that breaks: no error")
except anthropic.APIStatusError as error:
    check("cut off" in str(error), f"a stream that breaks raises: {error}")
print("the anthropic client is served")
