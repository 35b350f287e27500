//! The points, and what an API sends that fails there.

/// One step of an API.
pub(super) enum Step {
    /// Sends this.
    Send(Vec<u8>),
    /// Says nothing more, and keeps the connection.
    Silence,
    /// Breaks the connection off.
    Reset,
}

/// Where an API is.
pub(super) enum Place {
    Here,
    /// Under an address of https, though nobody speaks TLS there.
    HereByTls,
    Elsewhere(&'static str),
}

/// A point of failure.
pub(super) struct Point {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// The answer to a request that is streamed or not. After its last step the connection closes in order.
    pub(super) script: fn(bool) -> Vec<Step>,
    /// What the gateway calls it in a streamed answer, and in a whole one.
    pub(super) reasons: [&'static str; 2],
}

impl Point {
    /// Whether the gateway asks again where the route allows it. A moment later, a login or an address is as wrong as
    /// before, nonsense is nonsense, and who was silent for all the time that one try has would be so again.
    pub(super) fn heals(&self, reason: &str) -> bool {
        match reason {
            "upstream_error" => matches!(
                self.name,
                "status-408"
                    | "status-500"
                    | "status-502"
                    | "status-503"
                    | "status-504"
                    | "status-529"
            ),
            "upstream_unreachable" | "upstream_interrupted" | "upstream_rate_limited" => true,
            _ => false,
        }
    }
}

pub(super) const fn point(
    name: &'static str,
    reason: &'static str,
    script: fn(bool) -> Vec<Step>,
) -> Point {
    Point {
        name,
        place: Place::Here,
        script,
        reasons: [reason, reason],
    }
}

const fn elsewhere(name: &'static str, url: &'static str) -> Point {
    Point {
        place: Place::Elsewhere(url),
        ..point(name, "upstream_unreachable", |_| Vec::new())
    }
}

/// Before anything of an answer was seen.
pub(super) const BEFORE_CONTENT: &[Point] = &[
    elsewhere("unknown-host", "http://nobody.invalid/v1"),
    elsewhere("refused", "http://127.0.0.1:9/v1"),
    Point {
        place: Place::HereByTls,
        ..point("no-tls", "upstream_unreachable", |_| Vec::new())
    },
    point("hangs-up", "upstream_unreachable", |_| Vec::new()),
    point("resets", "upstream_unreachable", |_| vec![Step::Reset]),
    point("no-http", "upstream_unreachable", |_| {
        send("220 mail.example.com ESMTP\r\n")
    }),
    point("says-nothing", "upstream_timeout", |_| vec![Step::Silence]),
    point("slow-head", "upstream_timeout", |_| {
        silent(send("HTTP/1.1 200 OK\r\ncontent-type: te"))
    }),
    point("endless-head", "upstream_unreachable", |_| {
        let fields = format!("x-filler: {}\r\n", "x".repeat(1000)).repeat(1000);
        send(&format!("HTTP/1.1 200 OK\r\n{fields}"))
    }),
    point("status-302", "upstream_error", |_| status(302)),
    point("status-401", "upstream_error", |_| status(401)),
    point("status-402", "upstream_error", |_| status(402)),
    point("status-403", "upstream_error", |_| status(403)),
    point("status-404", "upstream_error", |_| status(404)),
    point("status-408", "upstream_error", |_| status(408)),
    point("status-429", "upstream_rate_limited", |_| status(429)),
    point("status-500", "upstream_error", |_| status(500)),
    point("status-502", "upstream_error", |_| status(502)),
    point("status-503", "upstream_error", |_| status(503)),
    point("status-504", "upstream_error", |_| status(504)),
    point("status-529", "upstream_error", |_| status(529)),
    point("wrong-content-type", "upstream_malformed", |_| {
        whole("text/html", "<html>welcome</html>")
    }),
    Point {
        // A stream that says nothing of its end might have gone on.
        reasons: ["upstream_interrupted", "upstream_malformed"],
        ..point("empty-body", "", |is_streamed| {
            whole(content_type(is_streamed), "")
        })
    },
    point("empty-answer", "upstream_malformed", |is_streamed| {
        if is_streamed {
            events(&["data: [DONE]\n\n"])
        } else {
            whole("application/json", r#"{"id": "1", "choices": []}"#)
        }
    }),
    Point {
        // Pieces may hold anything beside choices, or nothing at all.
        reasons: ["upstream_interrupted", "upstream_malformed"],
        ..point("other-json", "", |is_streamed| {
            answer(is_streamed, r#"{"hello": ["world"]}"#)
        })
    },
    point("no-json", "upstream_malformed", |is_streamed| {
        answer(is_streamed, "{\"id\": \"1\", \"choices\": [")
    }),
    point("no-text", "upstream_malformed", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        steps.push(Step::Send(framed(b"data: \xff\xfe\xfd\n\n")));
        steps.extend(end());
        steps
    }),
    point("error-event", "upstream_malformed", |is_streamed| {
        let error = r#"{"error": {"message": "overloaded", "type": "overloaded_error"}}"#;
        if is_streamed {
            events(&[&format!("event: error\ndata: {error}\n\n")])
        } else {
            whole("application/json", error)
        }
    }),
    point("oversized-line", "upstream_malformed", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        // Longer than any answer may be.
        let filler = framed(&vec![b'x'; 1 << 20]);
        steps.push(Step::Send(framed(b"data: ")));
        steps.extend((0..40).map(|_| Step::Send(filler.clone())));
        steps.extend(end());
        steps
    }),
    point("slow-first-token", "upstream_timeout", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        if is_streamed {
            steps.push(event(&format!("data: {ROLE}\n\n")));
        }
        silent(steps)
    }),
    point(
        "cut-before-content",
        "upstream_interrupted",
        |is_streamed| {
            let mut steps = head(content_type(is_streamed));
            let sent = if is_streamed { ROLE } else { r#"{"id": "1", "# };
            steps.push(event(&format!("data: {sent}\n\n")));
            steps
        },
    ),
    point("cut-mid-chunk", "upstream_interrupted", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        steps.extend(send("400\r\ndata: {\"id\""));
        steps
    }),
    point("broken-framing", "upstream_interrupted", |is_streamed| {
        let mut steps = head(content_type(is_streamed));
        steps.extend(send("zzz\r\ndata: {\"id\"\r\n0\r\n\r\n"));
        steps
    }),
];

/// A whole answer is not looked at before its end.
const SENSELESS_OR_SILENT: [&str; 2] = ["upstream_malformed", "upstream_timeout"];

/// After the word `half` of a streamed answer, or within a whole one.
pub(super) const AFTER_CONTENT: &[Point] = &[
    point("stalls", "upstream_timeout", |is_streamed| {
        silent(half(is_streamed))
    }),
    point("ends-early", "upstream_interrupted", |is_streamed| {
        if is_streamed {
            let mut steps = half(true);
            steps.extend(end());
            steps
        } else {
            half(false)
        }
    }),
    point("hangs-up-halfway", "upstream_interrupted", half),
    point(
        "cut-mid-chunk-halfway",
        "upstream_interrupted",
        |is_streamed| {
            let mut steps = half(is_streamed);
            steps.extend(send("400\r\ndata: {\"id\""));
            steps
        },
    ),
    point(
        "broken-framing-halfway",
        "upstream_interrupted",
        |is_streamed| {
            let mut steps = half(is_streamed);
            steps.extend(send("zzz\r\n\r\n"));
            steps
        },
    ),
    Point {
        reasons: SENSELESS_OR_SILENT,
        ..point("malformed-chunk", "", |is_streamed| {
            let mut steps = half(is_streamed);
            steps.push(event("data: {\"id\": \n\n"));
            silent(steps)
        })
    },
    Point {
        reasons: SENSELESS_OR_SILENT,
        ..point("error-event-halfway", "", |is_streamed| {
            let mut steps = half(is_streamed);
            steps.push(event(
                "event: error\ndata: {\"error\": {\"message\": \"oops\"}}\n\n",
            ));
            silent(steps)
        })
    },
    point(
        "oversized-line-halfway",
        "upstream_malformed",
        |is_streamed| {
            let mut steps = half(is_streamed);
            let filler = framed(&vec![b'x'; 1 << 20]);
            steps.push(Step::Send(framed(b"data: ")));
            steps.extend((0..40).map(|_| Step::Send(filler.clone())));
            steps
        },
    ),
];

/// What looks odd, and leaves nothing out.
pub(super) const HARMLESS: &[Point] = &[
    point("done-twice", "", |is_streamed| {
        spoken(is_streamed, &["data: [DONE]\n\n", "data: [DONE]\n\n"])
    }),
    point("no-done", "", |is_streamed| spoken(is_streamed, &[])),
    point("comments", "", |is_streamed| {
        spoken(
            is_streamed,
            &[": keep-alive\n\n", "data: [DONE]\n\n", ": bye\n\n"],
        )
    }),
    point("carriage-returns", "", |is_streamed| {
        spoken(is_streamed, &["data: [DONE]\r\n\r\n"])
    }),
    point("silent-after-done", "", |is_streamed| {
        if is_streamed {
            let mut steps = half(true);
            steps.push(event(&format!("data: {FINISH}\n\n")));
            steps.push(event("data: [DONE]\n\n"));
            silent(steps)
        } else {
            spoken(false, &[])
        }
    }),
];

const ROLE: &str = r#"{"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "far", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}"#;
const HALF: &str = r#"{"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "far", "choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": null}]}"#;
const FINISH: &str = r#"{"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "far", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}"#;
const WHOLE: &str = r#"{"id": "1", "object": "chat.completion", "created": 1, "model": "far", "choices": [{"index": 0, "message": {"role": "assistant", "content": "half"}, "finish_reason": "stop"}]}"#;

pub(super) fn content_type(is_streamed: bool) -> &'static str {
    if is_streamed {
        "text/event-stream"
    } else {
        "application/json"
    }
}

pub(super) fn send(text: &str) -> Vec<Step> {
    vec![Step::Send(text.as_bytes().to_vec())]
}

pub(super) fn silent(mut steps: Vec<Step>) -> Vec<Step> {
    steps.push(Step::Silence);
    steps
}

pub(super) fn status(code: u16) -> Vec<Step> {
    let body = r#"{"error": {"message": "no", "type": "far_error"}}"#;
    send(&format!(
        "HTTP/1.1 {code} Said So\r\nlocation: http://127.0.0.1:9/\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

pub(super) fn whole(content_type: &str, body: &str) -> Vec<Step> {
    send(&format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The head of an answer that comes in chunks.
pub(super) fn head(content_type: &str) -> Vec<Step> {
    send(&format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    ))
}

pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    [
        format!("{:x}\r\n", bytes.len()).as_bytes(),
        bytes,
        b"\r\n".as_slice(),
    ]
    .concat()
}

pub(super) fn event(text: &str) -> Step {
    Step::Send(framed(text.as_bytes()))
}

pub(super) fn end() -> Vec<Step> {
    send("0\r\n\r\n")
}

pub(super) fn events(texts: &[&str]) -> Vec<Step> {
    let mut steps = head("text/event-stream");
    steps.extend(texts.iter().map(|text| event(text)));
    steps.extend(end());
    steps
}

/// As the only event, or as the whole answer.
pub(super) fn answer(is_streamed: bool, json: &str) -> Vec<Step> {
    if is_streamed {
        events(&[&format!("data: {json}\n\n")])
    } else {
        whole("application/json", json)
    }
}

/// An answer up to the word `half`.
fn half(is_streamed: bool) -> Vec<Step> {
    let mut steps = head(content_type(is_streamed));
    if is_streamed {
        steps.push(event(&format!("data: {ROLE}\n\n")));
        steps.push(event(&format!("data: {HALF}\n\n")));
    } else {
        steps.push(Step::Send(framed(&WHOLE.as_bytes()[..WHOLE.len() / 2])));
    }
    steps
}

/// A whole answer that says `half`, with these events after the last piece of a stream.
fn spoken(is_streamed: bool, more: &[&str]) -> Vec<Step> {
    if !is_streamed {
        return whole("application/json", WHOLE);
    }
    let mut steps = half(true);
    steps.push(event(&format!("data: {FINISH}\n\n")));
    steps.extend(more.iter().map(|text| event(text)));
    steps.extend(end());
    steps
}
