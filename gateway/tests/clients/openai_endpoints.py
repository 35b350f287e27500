"""Every endpoint and every class of errors, with the official `openai` client for Python.

Argument: the version of HTTP. Environment: OPENAI_BASE_URL, OPENAI_API_KEY, SSL_CERT_FILE (the gateway's CA).
"""

import asyncio
import sys

import openai
from checks import check, http_client

WORDS = [{"role": "user", "content": "Say hello."}]
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


def refused(expected, status, call, what):
    try:
        call()
    except expected as error:
        check(error.status_code == status and error.message, f"{what} is {status}: {error.message}")
        check(error.request_id, f"{what} names its request")
        return
    raise SystemExit(f"FAILED: {what}: no error")


version = sys.argv[1]
client = openai.OpenAI(max_retries=0, http_client=http_client(openai, version == "2"))

# Models.
names = [model.id for model in client.models.list()]
check("good" in names and "smollm2" in names, f"models are listed: {names}")
check(client.models.retrieve("good").id == "good", "one model is shown")
spoken = client.models.with_raw_response.list().http_response.http_version
check(spoken == {"1.1": "HTTP/1.1", "2": "HTTP/2"}[version], f"{spoken} is spoken")

# Chats with tools.
tools = [{"type": "function", "function": TOOL}]
answer = client.chat.completions.create(model="good", messages=WORDS, tools=tools)
check(answer.choices[0].message.tool_calls[0].function.name == "weather", "a tool is called")
with client.chat.completions.stream(model="good", messages=WORDS, stream_options={"include_usage": True}) as stream:
    final = stream.get_final_completion()
check(final.choices[0].message.content == "Hello" and final.usage.total_tokens == 5, "a chat streams to its end")
two = client.chat.completions.create(model="smollm2", messages=WORDS, n=2, max_tokens=4, temperature=1)
check(len(two.choices) == 2 and two.usage.completion_tokens <= 8, "a local model gives two answers")

# Completions.
answer = client.completions.create(model="good", prompt="Say")
check(answer.choices[0].text == "Hello" and answer.usage.total_tokens == 5, "a text is gone on with")
said = "".join(piece.choices[0].text for piece in client.completions.create(model="good", prompt="Say", stream=True))
check(said == "Hello", "a text is gone on with in pieces")
local = client.completions.create(model="smollm2", prompt="The capital of France is", temperature=0, max_tokens=8)
check("Paris" in local.choices[0].text, f"a local model goes on with a text: {local.choices[0].text!r}")

# Embeddings and rerank.
vectors = client.embeddings.create(model="good", input="hello", encoding_format="float")
check(vectors.data[0].embedding == [0.25, -0.5] and vectors.usage.prompt_tokens == 3, "a text becomes a vector")
ranking = client.post("/rerank", body={"model": "good", "query": "q", "documents": ["a", "b"]}, cast_to=object)
check(ranking["results"][0]["index"] == 1 and ranking["model"] == "good", "documents are sorted")

# The paths of routes.
tasks = str(client.base_url).removesuffix("/v1/") + "/tasks"


def task(name, body):
    return client.post(f"{tasks}/{name}", body=body, cast_to=object)


check(task("chat", {"messages": WORDS})["choices"][0]["message"]["content"] == "Hello", "a route chats, by its fallback")
check(task("summary", {"text": "A long story."})["summary"] == "Hello", "a route makes a summary")
check(task("vectors", {"input": "hello", "encoding_format": "float"})["data"][0]["embedding"] == [0.25, -0.5], "a route gives vectors")
check(task("ranking", {"query": "q", "documents": ["a", "b"]})["results"][0]["index"] == 1, "a route sorts documents")

# Responses.
response = client.responses.create(model="good", input="Say hello.", instructions="Be brief.")
check(response.output_text == "Hello" and response.usage.total_tokens == 5, "a response says hello")
check(response.status == "completed" and response.store is False, "a response is complete, and not stored")
called = client.responses.create(model="good", input="Weather?", tools=[{"type": "function", **TOOL}])
check(called.output[0].type == "function_call" and called.output[0].call_id == "call_1", "a response calls a tool")
with client.responses.stream(model="good", input="Say hello.") as stream:
    kinds = [event.type for event in stream]
    final = stream.get_final_response()
check(kinds[0] == "response.created" and kinds[-1] == "response.completed", f"a response streams {len(kinds)} events")
check(final.output_text == "Hello", "the streamed response says the same")
local = client.responses.create(model="smollm2", input="What is the capital of France?", temperature=0, max_output_tokens=16)
check("Paris" in local.output_text, f"a local model gives a response: {local.output_text!r}")
last = list(client.responses.create(model="cut", input="hi", stream=True))[-1]
check(last.type == "response.failed" and last.response.error.message, "a response that breaks ends as failed")

# Errors.
chat = client.chat.completions.create
refused(openai.BadRequestError, 400, lambda: client.responses.create(model="good", input="x", previous_response_id="r"), "a stored response")
refused(openai.BadRequestError, 400, lambda: chat(model="smollm2", messages=WORDS, modalities=["audio"]), "sounds of a local model")
refused(openai.BadRequestError, 400, lambda: client.embeddings.create(model="smollm2", input="x"), "vectors of a chat model")
refused(openai.BadRequestError, 400, lambda: chat(model="smollm2", messages=[{"role": "user", "content": "far " * 8_000}]), "a prompt longer than its model reads")
refused(openai.AuthenticationError, 401, lambda: client.with_options(api_key="wrong").models.list(), "a wrong key")
expired = client.with_options(api_key="clients-key-that-was-good-once")
refused(openai.AuthenticationError, 401, lambda: expired.chat.completions.create(model="good", messages=WORDS), "an expired key")
elsewhere = client.with_options(api_key="clients-key-for-another-place")
refused(openai.PermissionDeniedError, 403, lambda: elsewhere.chat.completions.create(model="good", messages=WORDS), "a key for another place")
narrow = client.with_options(api_key="clients-key-that-may-do-little")
check(narrow.chat.completions.create(model="good", messages=WORDS).choices[0].message.content == "Hello", "a narrow key does what it may")
refused(openai.PermissionDeniedError, 403, lambda: narrow.embeddings.create(model="good", input="x"), "a path that a key may not use")
refused(openai.NotFoundError, 404, lambda: narrow.chat.completions.create(model="smollm2", messages=WORDS), "a model that a key may not use")
refused(openai.NotFoundError, 404, lambda: client.models.retrieve("nope"), "a model that is to be shown and is none")
refused(openai.NotFoundError, 404, lambda: task("nothing", {"messages": WORDS}), "a path of no route")
refused(openai.APIStatusError, 405, lambda: client.get("/chat/completions", cast_to=object), "a wrong method")
refused(openai.APIStatusError, 415, lambda: client.post("/chat/completions", body={}, cast_to=object, options={"headers": {"content-encoding": "gzip"}}), "a compressed body")
refused(openai.BadRequestError, 400, lambda: task("summary", {"txt": "?"}), "a summary of nothing")
refused(openai.NotFoundError, 404, lambda: client.responses.retrieve("resp_1"), "a response that was never stored")
refused(openai.NotFoundError, 404, lambda: client.embeddings.create(model="nope", input="x"), "an unknown model")
refused(openai.APIStatusError, 413, lambda: chat(model="good", messages=[{"role": "user", "content": "x" * 70_000}]), "a long body")
refused(openai.UnprocessableEntityError, 422, lambda: chat(model="picky", messages=WORDS), "a refusal of the API")
refused(openai.InternalServerError, 502, lambda: chat(model="broken", messages=WORDS), "a broken API")
refused(openai.RateLimitError, 429, lambda: chat(model="busy", messages=WORDS), "a busy API")
refused(openai.InternalServerError, 503, lambda: chat(model="absent", messages=WORDS), "a model whose files are not there")
refused(openai.InternalServerError, 504, lambda: chat(model="hasty", messages=WORDS), "an API that says nothing")
try:
    list(chat(model="cut", messages=WORDS, stream=True))
    raise SystemExit("FAILED: a stream that breaks: no error")
except openai.APIError as error:
    check("cut off" in error.message, f"a stream that breaks raises: {error.message}")

try:
    list(chat(model="hasty", messages=WORDS, stream=True))
    raise SystemExit("FAILED: a stream that stalls: no error")
except openai.APIError as error:
    check(error.code == "total_timeout", f"a stream that stalls raises: {error.message}")

# Limits of a key.
single = client.with_options(api_key="clients-key-for-one-at-a-time").chat.completions
with single.create(model="stalls", messages=WORDS, stream=True) as stream:
    check(next(iter(stream)).choices[0].delta.content == "Hel", "one answer at a time is given")
    refused(openai.RateLimitError, 429, lambda: single.create(model="good", messages=WORDS), "a second one at once")
limited = client.with_options(api_key="clients-key-with-few-tokens").chat.completions
refused(openai.BadRequestError, 400, lambda: limited.create(model="good", messages=WORDS, max_tokens=100), "more tokens than a minute has")
raw = None
try:
    for _ in range(40):
        raw = limited.with_raw_response.create(model="good", messages=WORDS, max_tokens=9)
    raise SystemExit("FAILED: 40 answers of 5 tokens within a limit of 60 a minute")
except openai.RateLimitError as error:
    headers = error.response.headers
    check(error.code == "rate_limit_exceeded" and "tokensPerMinute of 60" in error.message, f"tokens are limited: {error.message}")
    check(1 <= int(headers["retry-after"]) <= 60 and headers["x-ratelimit-limit-tokens"] == "60", "and it is told for how long")


async def flood(many):
    """How long those are told to wait that are too many."""
    crowd = openai.AsyncOpenAI(max_retries=0, http_client=http_client(openai, version == "2", "DefaultAsyncHttpxClient"))
    turn = asyncio.Semaphore(32)

    async def ask():
        try:
            async with turn:
                await crowd.models.list()
        except openai.RateLimitError as error:
            return error.response.headers.get("retry-after")

    return [wait for wait in await asyncio.gather(*(ask() for _ in range(many))) if wait]


waits = asyncio.run(flood(400))
check(waits and int(waits[0]) >= 1, f"too many requests are 429 with Retry-After ({len(waits)} of 400)")
print("the openai client is served at every endpoint")
