"""How APIs that fail look through the official clients for Python: one line of JSON tells what each was told.

Arguments: `openai` or `anthropic`, the version of HTTP, and the names of models. Environment: OPENAI_BASE_URL and
OPENAI_API_KEY, or ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY; SSL_CERT_FILE (the gateway's CA).
"""

import asyncio
import json
import sys

from checks import http_client

WORDS = [{"role": "user", "content": "Say hello."}]
MOST_AT_ONCE = 16


def client_of(package, name, is_http2):
    transport = http_client(package, is_http2, "DefaultAsyncHttpxClient")
    return getattr(package, name)(max_retries=0, timeout=60, http_client=transport)


class OpenAi:
    def __init__(self, is_http2):
        import openai

        self.client = client_of(openai, "AsyncOpenAI", is_http2)
        self.error = openai.APIError

    async def whole(self, model):
        answer = await self.client.chat.completions.create(model=model, messages=WORDS)
        yield answer.choices[0].message.content

    async def pieces(self, model):
        async for chunk in await self.client.chat.completions.create(model=model, messages=WORDS, stream=True):
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    def kind(self, error):
        return error.code


class Anthropic:
    def __init__(self, is_http2):
        import anthropic

        self.client = client_of(anthropic, "AsyncAnthropic", is_http2)
        self.error = anthropic.APIError

    async def whole(self, model):
        answer = await self.client.messages.create(model=model, max_tokens=9, messages=WORDS)
        yield answer.content[0].text

    async def pieces(self, model):
        async with self.client.messages.stream(model=model, max_tokens=9, messages=WORDS) as stream:
            async for text in stream.text_stream:
                yield text

    def kind(self, error):
        return error.body["error"]["type"]


async def told(client, model, is_streamed):
    """What came before the end, and what the end was."""
    said, status, kind = "", None, None
    try:
        async for piece in client.pieces(model) if is_streamed else client.whole(model):
            said += piece
    except client.error as error:
        # Connections that break have neither a status nor a body.
        status, kind = getattr(error, "status_code", None), client.kind(error) if error.body else repr(error)
    return {"point": model, "is_streamed": is_streamed, "said": said, "status": status, "kind": kind}


async def main(name, version, *models):
    client = {"openai": OpenAi, "anthropic": Anthropic}[name](version == "2")
    turn = asyncio.Semaphore(MOST_AT_ONCE)

    async def ask(model, is_streamed):
        async with turn:
            return await told(client, model, is_streamed)

    asked = [ask(model, is_streamed) for model in models for is_streamed in [False, True]]
    print(json.dumps(await asyncio.gather(*asked)))


asyncio.run(main(*sys.argv[1:]))
