//! The points at which the Gemini API fails in its own way.

use super::Dialect;
use super::script::{
    Point, Step, answer, content_type, end, event, framed, head, point, send, silent, status, whole,
};

pub(super) const DIALECT: Dialect = Dialect {
    before_content: BEFORE_CONTENT,
    after_content: AFTER_CONTENT,
    harmless: HARMLESS,
};

const BEFORE_CONTENT: &[Point] = &[
    // As if the request were at fault.
    point("g-wrong-key", "upstream_error", |_| {
        refusal(
            400,
            r#"{"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}"#,
        )
    }),
    point("g-forbidden", "upstream_error", |_| status(403)),
    point("g-no-model", "upstream_error", |_| status(404)),
    point("g-limited", "upstream_rate_limited", |_| {
        refusal(
            429,
            r#"{"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}"#,
        )
    }),
    point("g-broken", "upstream_error", |_| status(500)),
    point("g-overloaded", "upstream_error", |_| status(503)),
    Point {
        reasons: ["upstream_error", "upstream_malformed"],
        ..point("g-overloaded-event", "", |is_streamed| {
            answer(is_streamed, OVERLOADED)
        })
    },
    Point {
        reasons: ["upstream_interrupted", "upstream_malformed"],
        ..point("g-empty-body", "", |is_streamed| {
            whole(content_type(is_streamed), "")
        })
    },
    Point {
        reasons: ["upstream_interrupted", "upstream_malformed"],
        ..point("g-nobody", "", |is_streamed| {
            answer(is_streamed, r#"{"candidates": []}"#)
        })
    },
    point("g-malformed-call", "upstream_malformed", |is_streamed| {
        answer(
            is_streamed,
            r#"{"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}]}"#,
        )
    }),
    point("g-no-json", "upstream_malformed", |is_streamed| {
        answer(is_streamed, r#"{"candidates": ["#)
    }),
    point("g-html", "upstream_malformed", |_| {
        whole("text/html", "<html>welcome</html>")
    }),
    point("g-slow-first-token", "upstream_timeout", |is_streamed| {
        silent(head(content_type(is_streamed)))
    }),
    point("g-cut-early", "upstream_interrupted", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        steps.extend(send("400\r\ndata: {\"cand"));
        steps
    }),
];

const AFTER_CONTENT: &[Point] = &[
    point("g-overloaded-halfway", "upstream_error", |is_streamed| {
        let mut steps = half(is_streamed);
        steps.push(event(&format!("data: {OVERLOADED}\r\n\r\n")));
        silent(steps)
    }),
    point("g-malformed-halfway", "upstream_malformed", |is_streamed| {
        let mut steps = half(is_streamed);
        steps.push(event("data: {\"candidates\": 7}\r\n\r\n"));
        silent(steps)
    }),
    point("g-stalls", "upstream_timeout", |is_streamed| {
        silent(half(is_streamed))
    }),
    // There is no other sign of the end than its reason.
    point("g-ends-early", "upstream_interrupted", |is_streamed| {
        let mut steps = half(is_streamed);
        if is_streamed {
            steps.extend(end());
        }
        steps
    }),
];

const HARMLESS: &[Point] = &[
    point("g-plain", "", |is_streamed| spoken(is_streamed, &[])),
    point("g-usage-last", "", |is_streamed| {
        spoken(
            is_streamed,
            &[r#"{"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}"#],
        )
    }),
    point("g-empty-events", "", |is_streamed| {
        spoken(is_streamed, &["{}"])
    }),
];

const OVERLOADED: &str =
    r#"{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}"#;
const HALF: &str = r#"{"candidates": [{"content": {"parts": [{"text": "half"}], "role": "model"}, "index": 0}], "responseId": "1"}"#;
const FINISH: &str = r#"{"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}], "responseId": "1"}"#;
const WHOLE: &str = r#"{"candidates": [{"content": {"parts": [{"text": "half"}], "role": "model"}, "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}, "responseId": "1"}"#;

fn refusal(code: u16, error: &str) -> Vec<Step> {
    let body = format!(r#"{{"error": {error}}}"#);
    let length = body.len();
    send(&format!(
        "HTTP/1.1 {code} Said So\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

fn half(is_streamed: bool) -> Vec<Step> {
    let mut steps = head(content_type(is_streamed));
    if is_streamed {
        steps.push(event(&format!("data: {HALF}\r\n\r\n")));
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
    let events = [FINISH].into_iter().chain(more.iter().copied());
    steps.extend(events.map(|json| event(&format!("data: {json}\r\n\r\n"))));
    steps.extend(end());
    steps
}
