//! The points at which the Messages API fails in its own way.

use super::Dialect;
use super::script::{
    Point, Step, answer, content_type, end, event, events, framed, head, point, send, silent,
    status, whole,
};

pub(super) const DIALECT: Dialect = Dialect {
    before_content: BEFORE_CONTENT,
    after_content: AFTER_CONTENT,
    harmless: HARMLESS,
};

const BEFORE_CONTENT: &[Point] = &[
    point("a-wrong-key", "upstream_error", |_| status(401)),
    point("a-forbidden", "upstream_error", |_| status(403)),
    point("a-no-model", "upstream_error", |_| status(404)),
    point("a-limited", "upstream_rate_limited", |_| status(429)),
    point("a-broken", "upstream_error", |_| status(500)),
    point("a-overloaded", "upstream_error", |_| status(529)),
    Point {
        reasons: ["upstream_error", "upstream_malformed"],
        ..point("a-overloaded-event", "", |is_streamed| {
            failing(is_streamed, "overloaded_error")
        })
    },
    Point {
        reasons: ["upstream_rate_limited", "upstream_malformed"],
        ..point("a-limited-event", "", |is_streamed| {
            failing(is_streamed, "rate_limit_error")
        })
    },
    Point {
        reasons: ["upstream_interrupted", "upstream_malformed"],
        ..point("a-empty-body", "", |is_streamed| {
            whole(content_type(is_streamed), "")
        })
    },
    point("a-empty-stream", "upstream_malformed", |is_streamed| {
        answer(is_streamed, r#"{"type": "message_stop"}"#)
    }),
    point("a-other-dialect", "upstream_malformed", |is_streamed| {
        answer(
            is_streamed,
            r#"{"id": "1", "choices": [{"delta": {"content": "x"}}]}"#,
        )
    }),
    point("a-no-json", "upstream_malformed", |is_streamed| {
        answer(is_streamed, r#"{"type": "message_start", "message": {"#)
    }),
    point("a-html", "upstream_malformed", |_| {
        whole("text/html", "<html>welcome</html>")
    }),
    point("a-only-pings", "upstream_timeout", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        if is_streamed {
            steps.push(start());
            steps.push(event("event: ping\ndata: {\"type\": \"ping\"}\n\n"));
        }
        silent(steps)
    }),
    point("a-cut-early", "upstream_interrupted", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        if is_streamed {
            steps.push(start());
        } else {
            steps.push(event("{\"id\""));
        }
        steps
    }),
];

const AFTER_CONTENT: &[Point] = &[
    point("a-overloaded-halfway", "upstream_error", |is_streamed| {
        let mut steps = half(is_streamed);
        steps.push(failure("overloaded_error"));
        silent(steps)
    }),
    point("a-broken-halfway", "upstream_error", |is_streamed| {
        let mut steps = half(is_streamed);
        steps.push(failure("api_error"));
        silent(steps)
    }),
    point("a-malformed-halfway", "upstream_malformed", |is_streamed| {
        let mut steps = half(is_streamed);
        steps.push(event("data: {\"type\": \"content_block_delta\"}\n\n"));
        silent(steps)
    }),
    point("a-stalls", "upstream_timeout", |is_streamed| {
        silent(half(is_streamed))
    }),
    point("a-ends-early", "upstream_interrupted", |is_streamed| {
        let mut steps = half(is_streamed);
        if is_streamed {
            steps.extend(end());
        }
        steps
    }),
    point("a-cut-mid-chunk", "upstream_interrupted", |is_streamed| {
        let mut steps = half(is_streamed);
        steps.extend(send("400\r\ndata: {\"type\""));
        steps
    }),
];

const HARMLESS: &[Point] = &[
    point("a-pings", "", |is_streamed| {
        spoken(is_streamed, &[r#"{"type": "ping"}"#, STOP])
    }),
    point("a-novel-events", "", |is_streamed| {
        spoken(is_streamed, &[r#"{"type": "novel", "x": [1]}"#, STOP])
    }),
    // The reason why an answer ended is said before.
    point("a-no-stop", "", |is_streamed| spoken(is_streamed, &[])),
    point("a-stop-twice", "", |is_streamed| {
        spoken(is_streamed, &[STOP, STOP])
    }),
];

const STOP: &str = r#"{"type": "message_stop"}"#;
const WHOLE: &str = r#"{"id": "msg_1", "type": "message", "role": "assistant", "model": "far", "content": [{"type": "text", "text": "half"}], "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 2}}"#;
/// The beginning of a stream.
fn start() -> Step {
    named(
        r#"{"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "far", "content": [], "stop_reason": null, "usage": {"input_tokens": 3, "output_tokens": 1}}}"#,
    )
}

/// As the API sends it, with its type as the event's name.
fn named(json: &str) -> Step {
    let kind = json.split('"').nth(3).unwrap_or_default();
    event(&format!("event: {kind}\ndata: {json}\n\n"))
}

fn error(kind: &str) -> String {
    format!(r#"{{"type": "error", "error": {{"type": "{kind}", "message": "no"}}}}"#)
}

fn failure(kind: &str) -> Step {
    named(&error(kind))
}

fn failing(is_streamed: bool, kind: &str) -> Vec<Step> {
    if is_streamed {
        events(&[&format!("event: error\ndata: {}\n\n", error(kind))])
    } else {
        whole("application/json", &error(kind))
    }
}

fn half(is_streamed: bool) -> Vec<Step> {
    let mut steps = head(content_type(is_streamed));
    if is_streamed {
        steps.push(start());
        for json in [
            r#"{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}"#,
            r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half"}}"#,
        ] {
            steps.push(named(json));
        }
    } else {
        steps.push(Step::Send(framed(&WHOLE.as_bytes()[..WHOLE.len() / 2])));
    }
    steps
}

fn spoken(is_streamed: bool, more: &[&str]) -> Vec<Step> {
    if !is_streamed {
        return whole("application/json", WHOLE);
    }
    let mut steps = half(true);
    for json in [
        r#"{"type": "content_block_stop", "index": 0}"#,
        r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 2}}"#,
    ] {
        steps.push(named(json));
    }
    steps.extend(more.iter().map(|json| named(json)));
    steps.extend(end());
    steps
}
