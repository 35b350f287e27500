"""An OpenAI-compatible provider whose streams take their time: one word every half second."""
import http.server
import json
import time

WORDS = 100


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number in range(WORDS):
            self.chunk(question["model"], {"role": "assistant", "content": f"word{number} "}, None)
            time.sleep(0.5)
        self.chunk(question["model"], {}, "stop")
        self.event("[DONE]")

    def chunk(self, model, delta, reason):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        kind = "chat.completion.chunk"
        self.event(json.dumps({"id": "1", "object": kind, "created": 1, "model": model, "choices": [choice]}))

    def event(self, data):
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
