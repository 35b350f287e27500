"""Drive a running gateway with the official `openai` client.

Environment: OPENAI_BASE_URL, OPENAI_API_KEY, SSL_CERT_FILE (the gateway's CA). The gateway must serve a local
model named `smollm2` and a remote model named `gpt-4o-mini` that cannot be reached.
"""

import openai

QUESTION = [
    {"role": "system", "content": "Answer in English, in one short sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]


def check(holds, what):
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def refused(expected, call, what):
    try:
        call()
    except expected as error:
        check(error.body and error.body.get("message"), f"{what}: {error.body.get('message')}")
        return error
    raise SystemExit(f"FAILED: {what}: no error")


client = openai.OpenAI(max_retries=0)

names = [model.id for model in client.models.list()]
check("smollm2" in names and "gpt-4o-mini" in names, f"models.list names the models: {names}")
check(client.models.retrieve("smollm2").id == "smollm2", "models.retrieve finds one")
refused(openai.NotFoundError, lambda: client.models.retrieve("nope"), "an unknown model is 404")

answer = client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=0, max_tokens=32)
check("Paris" in answer.choices[0].message.content, f"plain answer: {answer.choices[0].message.content!r}")
check(answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, f"usage is counted: {answer.usage.total_tokens}")

chunks = list(
    client.chat.completions.create(
        model="smollm2",
        messages=QUESTION,
        temperature=0,
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
    )
)
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
check(text == answer.choices[0].message.content, f"the stream says the same in {len(chunks)} chunks")
check(chunks[-1].usage.completion_tokens == answer.usage.completion_tokens, "the stream ends with the usage")

again = [
    client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=1, seed=7, max_tokens=12)
    for _ in range(2)
]
check(
    again[0].choices[0].message.content == again[1].choices[0].message.content,
    "one seed gives one answer",
)
cut = client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=0, max_tokens=3)
check(cut.choices[0].finish_reason == "length", "max_tokens ends with finish_reason length")
stopped = client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=0, stop=["Paris"], max_tokens=32)
check("Paris" not in stopped.choices[0].message.content and stopped.choices[0].finish_reason == "stop", "stop ends before the word")

refused(openai.NotFoundError, lambda: client.chat.completions.create(model="nope", messages=QUESTION), "chat with an unknown model is 404")
refused(
    openai.BadRequestError,
    lambda: client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=9),
    "a temperature of 9 is 400",
)
refused(
    openai.InternalServerError,
    lambda: client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION),
    "an unreachable provider is 5xx",
)
refused(
    openai.AuthenticationError,
    lambda: client.with_options(api_key="wrong-key-wrong-key").models.list(),
    "a wrong key is 401",
)
print("the openai client is served")
