//! Records in the field names of the Elastic Common Schema; what it has no name for is under `claw.`. Pure.

use super::content::Content;
use super::event::{ChannelMessage, Event, Record, Request};
use super::line::{Digest, Link, seal};

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "8.17.0";

/// Append a record's line, and tell the link that the next one follows.
pub(super) fn append(buffer: &mut Vec<u8>, record: &Record, before: Link) -> Link {
    let start = buffer.len();
    let sequence = before.sequence + 1;
    buffer.extend(b"{\"@timestamp\":\"");
    push_display(buffer, format_args!("{:.6}", record.at));
    buffer.extend(b"\"");
    let mut fields = Fields(buffer);
    fields.text("ecs.version", ECS_VERSION);
    fields.number("event.sequence", sequence);
    event(&mut fields, &record.event);
    buffer.extend(b",\"claw.audit.previous\":\"");
    Digest::write(before.hash, buffer);
    buffer.push(b'"');
    Link {
        sequence,
        hash: seal(buffer, start),
    }
}

fn push_display(buffer: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    buffer
        .write_fmt(arguments)
        .expect("a vector takes every byte");
}

fn event(fields: &mut Fields<'_>, event: &Event) {
    match event {
        Event::Request(event) => request(fields, event),
        Event::ChannelMessage(message) => channel_message(fields, message),
        Event::Started { version } => {
            fields.head("process", &["start"], "gateway-started", "success");
            fields.text("service.version", version);
        }
        Event::Stopped => fields.head("process", &["end"], "gateway-stopped", "success"),
        Event::ConfigurationApplied { origin, hash } => {
            fields.head(
                "configuration",
                &["change"],
                "configuration-applied",
                "success",
            );
            fields.text("claw.configuration.origin", origin);
            fields.text("claw.configuration.hash", hash);
        }
        Event::ConfigurationRefused { origin, problems } => {
            fields.head(
                "configuration",
                &["change", "denied"],
                "configuration-refused",
                "failure",
            );
            fields.text("claw.configuration.origin", origin);
            fields.list("claw.configuration.problems", problems);
        }
        Event::CertificateChanged { sha256 } => {
            fields.head(
                "configuration",
                &["change"],
                "certificate-changed",
                "success",
            );
            fields.maybe("claw.certificate.sha256", sha256.as_deref());
        }
        Event::AccessChanged {
            added,
            removed,
            anonymous,
        } => {
            fields.head("iam", &["change"], "access-changed", "success");
            fields.list("claw.access.added", added);
            fields.list("claw.access.removed", removed);
            fields.flag("claw.access.anonymous", *anonymous);
        }
        Event::Disabled => fields.head("configuration", &["change"], "audit-disabled", "success"),
        Event::Lost { records } => {
            fields.head("process", &["error"], "audit-lost", "failure");
            fields.number("claw.audit.lost", *records);
        }
        Event::Undelivered { sink, first, last } => {
            fields.head("process", &["error"], "audit-lost", "failure");
            fields.text("claw.audit.sink", sink);
            fields.number("claw.audit.lost", last + 1 - first);
            fields.number("claw.audit.lost_from", *first);
            fields.number("claw.audit.lost_through", *last);
        }
        Event::Repaired { bytes, sha256 } => {
            fields.head("process", &["info"], "audit-repaired", "success");
            fields.number("claw.audit.cut_bytes", *bytes);
            fields.text("claw.audit.cut_sha256", sha256);
        }
        Event::TailMissing { found, expected } => {
            fields.head("process", &["error"], "audit-tail-missing", "failure");
            fields.number("claw.audit.found", *found);
            fields.number("claw.audit.expected", *expected);
        }
        Event::ManifestMissing => {
            fields.head("process", &["error"], "audit-manifest-missing", "failure");
        }
        Event::Pruned { through, hash } => {
            fields.head("process", &["deletion"], "audit-pruned", "success");
            fields.number("claw.audit.pruned_through", *through);
            fields.text("claw.audit.pruned_hash", hash);
        }
    }
}

fn request(fields: &mut Fields<'_>, request: &Request) {
    let is_denied = matches!(request.status, 401 | 403 | 429);
    let decision = if is_denied { "denied" } else { "allowed" };
    let outcome = match request.status {
        400.. => "failure",
        _ if request.is_complete => "success",
        _ => "unknown",
    };
    fields.head("api", &["access", decision], "request", outcome);
    fields.maybe("event.reason", request.reason);
    fields.number(
        "event.duration",
        u64::try_from(request.duration.as_nanos()).unwrap_or(u64::MAX),
    );
    if let Some(client) = request.client {
        fields.display("client.ip", format_args!("{}", client.to_canonical()));
    }
    fields.maybe("user.name", request.caller.as_deref());
    fields.text("http.request.method", request.method.as_str());
    fields.text("http.request.id", &request.id);
    fields.number("http.response.status_code", request.status.into());
    fields.text("url.path", &request.path);
    fields.maybe("trace.id", request.trace.as_deref());
    fields.text("claw.decision", decision);
    fields.maybe("claw.model", request.model.as_deref());
    if let Some((prompt, completion)) = request.tokens {
        fields.number("claw.tokens.prompt", prompt);
        fields.number("claw.tokens.completion", completion);
    }
    fields.flag("claw.complete", request.is_complete);
    content(fields, request.content.as_ref());
}

fn content(fields: &mut Fields<'_>, content: Option<&Content>) {
    if let Some(content) = content {
        fields.messages("claw.content.prompt", &content.prompt);
        fields.list("claw.content.answer", &content.answers);
        fields.flag("claw.content.truncated", content.is_truncated);
    }
}

fn channel_message(fields: &mut Fields<'_>, message: &ChannelMessage) {
    let (kind, outcome) = match message.outcome {
        "answered" => ("allowed", "success"),
        "refused" | "unverified" => ("denied", "failure"),
        "failed" | "undelivered" | "overflow" | "invalid" => ("error", "failure"),
        _ => ("info", "unknown"),
    };
    fields.head("api", &["access", kind], "channel-message", outcome);
    fields.text("claw.channel.name", &message.channel);
    fields.text("claw.channel.platform", message.platform);
    fields.text("claw.channel.outcome", message.outcome);
    fields.text("claw.model", &message.model);
    content(fields, message.content.as_ref());
}

/// Appends members of an object that has one already. Names are ours and need no escapes.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn head(&mut self, category: &str, types: &[&str], action: &str, outcome: &str) {
        self.text("event.kind", "event");
        self.list("event.category", &[category]);
        self.list("event.type", types);
        self.text("event.action", action);
        self.text("event.outcome", outcome);
    }

    fn name(&mut self, name: &str) {
        self.0.extend(b",\"");
        self.0.extend(name.as_bytes());
        self.0.extend(b"\":");
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut *self.0, text).expect("a vector takes every string");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    fn maybe(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn list(&mut self, name: &str, items: &[impl AsRef<str>]) {
        self.name(name);
        self.0.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.string(item.as_ref());
        }
        self.0.push(b']');
    }

    fn messages(&mut self, name: &str, messages: &[(&'static str, String)]) {
        self.name(name);
        self.0.push(b'[');
        for (index, (role, text)) in messages.iter().enumerate() {
            self.0.extend(if index > 0 {
                &b",{\"role\":"[..]
            } else {
                b"{\"role\":"
            });
            self.string(role);
            self.0.extend(b",\"text\":");
            self.string(text);
            self.0.push(b'}');
        }
        self.0.push(b']');
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        serde_json::to_writer(&mut *self.0, &number).expect("a vector takes every number");
    }

    /// For what is displayed without characters that JSON escapes.
    fn display(&mut self, name: &str, text: std::fmt::Arguments<'_>) {
        self.name(name);
        self.0.push(b'"');
        push_display(self.0, text);
        self.0.push(b'"');
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.0.extend(if flag { &b"true"[..] } else { b"false" });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::audit::line::Sealed;

    fn rendered(event: Event) -> Value {
        let mut buffer = b"what is there already\n".to_vec();
        let start = buffer.len();
        let at = "2026-02-03T04:05:06.789Z".parse().expect("a time");
        let before = Link {
            sequence: 41,
            hash: Digest::of(b"before"),
        };
        let after = append(&mut buffer, &Record { at, event }, before);
        let line = buffer[start..].strip_suffix(b"\n").expect("one line");
        let sealed = Sealed::read(line).expect("whole");
        assert_eq!(sealed.link, after);
        sealed.follows(before).expect("the next one");
        serde_json::from_slice(line).expect("JSON")
    }

    #[test]
    fn a_request_has_the_names_of_the_common_schema() {
        let mut value = rendered(Event::Request(Box::new(Request {
            client: Some("::ffff:10.1.2.3".parse().expect("an address")),
            caller: Some("team/\"a\"".into()),
            method: http::Method::POST,
            path: "/v1/chat\n".into(),
            id: "r1".into(),
            trace: Some("0af7651916cd43dd8448eb211c80319c".into()),
            model: Some("tiny".into()),
            status: 429,
            is_complete: true,
            reason: Some("rate_limit_exceeded"),
            tokens: Some((3, 5)),
            duration: Duration::from_micros(1500),
            content: Some(Content {
                prompt: vec![("system", "be\n".into()), ("user", "\"hi\"".into())],
                answers: vec!["hello".into()],
                is_truncated: true,
            }),
        })));
        let object = value.as_object_mut().expect("an object");
        assert!(object.remove("claw.audit.hash").is_some());
        assert_eq!(
            value,
            json!({
                "@timestamp": "2026-02-03T04:05:06.789000Z", "ecs.version": "8.17.0",
                "event.sequence": 42, "event.kind": "event", "event.category": ["api"],
                "event.type": ["access", "denied"], "event.action": "request", "event.outcome": "failure",
                "event.reason": "rate_limit_exceeded", "event.duration": 1_500_000, "client.ip": "10.1.2.3",
                "user.name": "team/\"a\"", "http.request.method": "POST", "http.request.id": "r1",
                "http.response.status_code": 429, "url.path": "/v1/chat\n",
                "trace.id": "0af7651916cd43dd8448eb211c80319c", "claw.decision": "denied", "claw.model": "tiny",
                "claw.tokens.prompt": 3, "claw.tokens.completion": 5, "claw.complete": true,
                "claw.content.prompt": [
                    {"role": "system", "text": "be\n"}, {"role": "user", "text": "\"hi\""},
                ],
                "claw.content.answer": ["hello"], "claw.content.truncated": true,
                "claw.audit.previous": Digest::of(b"before").to_string(),
            })
        );
    }

    #[test]
    fn every_other_event_is_a_line_of_its_own_action() {
        let message = ChannelMessage {
            channel: "desk".into(),
            platform: "Telegram",
            model: "tiny".into(),
            outcome: "refused",
            content: None,
        };
        let events = [
            Event::ChannelMessage(Box::new(message)),
            Event::Started { version: "1" },
            Event::Stopped,
            Event::ConfigurationApplied {
                origin: "o".into(),
                hash: "h".into(),
            },
            Event::ConfigurationRefused {
                origin: "o".into(),
                problems: vec!["a".into(), "b".into()],
            },
            Event::CertificateChanged { sha256: None },
            Event::AccessChanged {
                added: vec!["k".into()],
                removed: Vec::new(),
                anonymous: false,
            },
            Event::Disabled,
            Event::Lost { records: 3 },
            Event::Repaired {
                bytes: 3,
                sha256: "s".into(),
            },
            Event::TailMissing {
                found: 1,
                expected: 2,
            },
            Event::ManifestMissing,
            Event::Pruned {
                through: 1,
                hash: "h".into(),
            },
        ];
        let count = events.len();
        let actions = events
            .map(|event| rendered(event)["event.action"].to_string())
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(actions.len(), count, "{actions:?}");
    }
}
