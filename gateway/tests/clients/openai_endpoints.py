"""Every endpoint and every class of errors, with the official `openai` client for Python.

Environment: OPENAI_BASE_URL, OPENAI_API_KEY, SSL_CERT_FILE (the gateway's CA).
"""

import concurrent.futures

import openai

WORDS = [{"role": "user", "content": "Say hello."}]
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


def check(holds, what):
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def refused(expected, status, call, what):
    try:
        call()
    except expected as error:
        check(error.status_code == status and error.message, f"{what} is {status}: {error.message}")
        check(error.request_id, f"{what} names its request")
        return
    raise SystemExit(f"FAILED: {what}: no error")


client = openai.OpenAI(max_retries=0)

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
refused(openai.AuthenticationError, 401, lambda: client.with_options(api_key="wrong").models.list(), "a wrong key")
refused(openai.NotFoundError, 404, lambda: client.responses.retrieve("resp_1"), "a response that was never stored")
refused(openai.NotFoundError, 404, lambda: client.embeddings.create(model="nope", input="x"), "an unknown model")
refused(openai.APIStatusError, 413, lambda: chat(model="good", messages=[{"role": "user", "content": "x" * 70_000}]), "a long body")
refused(openai.UnprocessableEntityError, 422, lambda: chat(model="picky", messages=WORDS), "a refusal of the API")
refused(openai.InternalServerError, 502, lambda: chat(model="broken", messages=WORDS), "a broken API")
refused(openai.RateLimitError, 429, lambda: chat(model="busy", messages=WORDS), "a busy API")
try:
    list(chat(model="cut", messages=WORDS, stream=True))
    raise SystemExit("FAILED: a stream that breaks: no error")
except openai.APIError as error:
    check("cut off" in error.message, f"a stream that breaks raises: {error.message}")


def ask(_):
    try:
        client.models.list()
    except openai.RateLimitError as error:
        return error.response.headers.get("retry-after")


with concurrent.futures.ThreadPoolExecutor(32) as pool:
    waits = [wait for wait in pool.map(ask, range(400)) if wait]
check(waits and int(waits[0]) >= 1, f"too many requests are 429 with Retry-After ({len(waits)} of 400)")
print("the openai client is served at every endpoint")
