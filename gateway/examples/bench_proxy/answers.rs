//! What the API says: prepared once.

use serde_json::json;

/// Pieces with content in a streamed answer.
pub(crate) const CHUNKS: usize = 64;

/// A whole answer of about 600 bytes, with its head.
pub(crate) fn whole() -> Vec<u8> {
    let body = json!({
        "id": "chatcmpl-9f2b6a4c1d7e4f0c8b1a",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "far-model",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "word ".repeat(60)},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80},
    })
    .to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The head and the pieces of a streamed answer, each as one HTTP/1.1 chunk.
pub(crate) fn stream() -> Vec<Vec<u8>> {
    let mut pieces = vec![
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    ];
    let chunk = |choices: serde_json::Value, usage: serde_json::Value| {
        json!({
            "id": "chatcmpl-9f2b6a4c1d7e4f0c8b1a",
            "object": "chat.completion.chunk",
            "created": 1_790_000_000,
            "model": "far-model",
            "choices": choices,
            "usage": usage,
        })
        .to_string()
    };
    for index in 0..CHUNKS {
        let delta = if index == 0 {
            json!({"role": "assistant", "content": "word "})
        } else {
            json!({"content": "word "})
        };
        let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
        pieces.push(http_chunk(&chunk(choice, json!(null))));
    }
    let usage =
        json!({"prompt_tokens": 20, "completion_tokens": CHUNKS, "total_tokens": 20 + CHUNKS});
    let last = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"}]);
    let mut end = http_chunk(&chunk(last, json!(null)));
    end.extend(http_chunk(&chunk(json!([]), usage)));
    end.extend(http_chunk("[DONE]"));
    end.extend(b"0\r\n\r\n");
    pieces.push(end);
    pieces
}

fn http_chunk(data: &str) -> Vec<u8> {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}
