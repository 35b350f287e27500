"""An OpenAI-compatible provider that answers with the name of the model it was asked for, and a server of models."""
import http.server
import json


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two packets: the second must not wait until the first is acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self):
        """A model file of 200 MB, of which nobody gets anything."""
        self.send_response(200)
        self.send_header("Content-Length", "200000000")
        self.end_headers()
        self.close_connection = True

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": question["model"]}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": question["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
