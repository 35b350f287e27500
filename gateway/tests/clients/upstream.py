"""An OpenAI-compatible API on a free port, which behaves as the model's name says. Its port goes to the file named."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def chunk(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "far", "choices": [choice]}


def text(piece, reason=None):
    choice = {"index": 0, "text": piece, "logprobs": None, "finish_reason": reason}
    return {"id": "c", "object": "text_completion", "created": 1, "model": "far", "choices": [choice]}


def pieces(path, body):
    """The events of a streamed answer."""
    if path == "/v1/completions":
        return [text("Hel"), text("lo", "stop")]
    if body.get("tools"):
        begun = {"index": 0, **CALL, "function": {"name": "weather", "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": CALL["function"]["arguments"]}}
        return [chunk({"role": "assistant", "tool_calls": [begun]}), chunk({"tool_calls": [rest]}), chunk({}, "tool_calls")]
    return [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")]


def whole(path, body):
    """A whole answer."""
    if path == "/v1/embeddings":
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
        return {"object": "list", "model": "far", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    if path == "/v1/rerank":
        return {"model": "far", "results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 3}}
    if path == "/v1/completions":
        return {**text("Hello", "stop"), "usage": USAGE}
    said = {"content": None, "tool_calls": [CALL]} if body.get("tools") else {"content": "Hello"}
    reason = "tool_calls" if body.get("tools") else "stop"
    choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "far", "choices": [choice], "usage": USAGE}


class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = body["model"]
        if name == "broken":
            return self.refuse(500, "out of order")
        if name == "busy":
            return self.refuse(429, "too many")
        if name == "picky":
            return self.refuse(422, "no such city")
        if not body.get("stream") and name == "stalls":
            self.connection.recv(1)
        if not body.get("stream"):
            return self.answer(200, "application/json", json.dumps(whole(self.path, body)))
        events = pieces(self.path, body)
        if name == "stalls":
            return self.stall(events[0])
        if name == "cut":
            events = events[:1]
        else:
            events.append({"id": "c", "choices": [], "usage": USAGE})
        data = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        self.answer(200, "text/event-stream", data if name == "cut" else data + "data: [DONE]\n\n")

    def stall(self, event):
        """Says nothing after the first piece, until its client leaves."""
        self.answer(200, "text/event-stream", f"data: {json.dumps(event)}\n\n")
        self.connection.recv(1)
        self.close_connection = True

    def refuse(self, status, message):
        error = {"message": message, "type": "far_error", "param": None, "code": "far"}
        self.answer(status, "application/json", json.dumps({"error": error}))

    def answer(self, status, kind, text):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
