//! The layer that writes lines.

use std::cell::Cell;
use std::time::SystemTime;

use opentelemetry::trace::TraceContextExt as _;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::LogWriter;
use super::members::{Members, json, text};
use crate::within;

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "9.0.0";
/// The field of a span that names a request: it stands at the top of every line within.
const REQUEST_ID: &str = "http.request.id";

/// Writes each event as one line: its fields as they are named, those of the spans around it under `labels`, and
/// `trace.id` where the request is traced.
pub struct EcsLayer {
    writer: LogWriter,
    /// The members that are the same in every line.
    service: Vec<u8>,
}

/// What a span adds to the lines within it.
#[derive(Default)]
struct SpanMembers {
    /// Names, and where the values end.
    names: Vec<(&'static str, usize)>,
    /// In JSON, one after the other.
    values: Vec<u8>,
}

impl SpanMembers {
    fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let starts = std::iter::once(0).chain(self.names.iter().map(|(_, end)| *end));
        self.names
            .iter()
            .zip(starts)
            .map(|((name, end), start)| (*name, &self.values[start..*end]))
    }
}

impl EcsLayer {
    /// Lines of the program called `service`.
    pub fn new(writer: LogWriter, service: &str, version: &str) -> Self {
        let mut members = Vec::new();
        for (name, value) in [
            ("ecs.version", ECS_VERSION),
            ("service.name", service),
            ("service.version", version),
        ] {
            member(&mut members, name, &|line| json(line, value));
        }
        within::find();
        Self {
            writer,
            service: members,
        }
    }
}

impl<S> Layer<S> for EcsLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut members = SpanMembers {
            names: Vec::with_capacity(attributes.fields().len()),
            values: Vec::with_capacity(128),
        };
        attributes.record(&mut Members(|name, write: &dyn Fn(&mut Vec<u8>)| {
            write(&mut members.values);
            members.names.push((name, members.values.len()));
        }));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(members);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // One line after the other: its memory is used again.
        thread_local!(static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
        let mut line = LINE.take();
        line.clear();
        self.write(&mut line, event, &context);
        self.writer
            .write(&line, *event.metadata().level() <= Level::WARN);
        LINE.set(line);
    }
}

impl EcsLayer {
    fn write<S>(&self, line: &mut Vec<u8>, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        line.extend(b"{\"@timestamp\":");
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        text(line, format_args!("{now}"));
        member(line, "log.level", &|line| json(line, level));
        event.record(&mut Members(|name, write: &dyn Fn(&mut Vec<u8>)| {
            member(line, name, write);
        }));
        member(line, "log.logger", &|line| json(line, metadata.target()));
        add_spans(line, event, context);
        if crate::is_on() {
            add_trace(line);
        }
        line.extend(&self.service);
        line.extend(b"}\n");
    }
}

/// Which trace an event belongs to.
fn add_trace(line: &mut Vec<u8>) {
    let context = opentelemetry::Context::current();
    let trace = context.span().span_context().clone();
    if trace.is_valid() {
        member(line, "trace.id", &|line| {
            text(line, format_args!("{}", trace.trace_id()));
        });
        member(line, "span.id", &|line| {
            text(line, format_args!("{}", trace.span_id()));
        });
    }
}

/// What the spans around an event say; where two say the same, the inner one.
fn add_spans<S>(line: &mut Vec<u8>, event: &Event<'_>, context: &Context<'_, S>)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let entered = context.event_scope(event).into_iter().flatten();
    let found = within::found().and_then(|id| context.span_scope(&id));
    let (mut labels, mut names) = (Vec::new(), Vec::new());
    for span in entered.chain(found.into_iter().flatten()) {
        let extensions = span.extensions();
        let Some(members) = extensions.get::<SpanMembers>() else {
            continue;
        };
        for (name, value) in members.iter() {
            if names.contains(&name) {
                continue;
            }
            names.push(name);
            let whose: &mut Vec<u8> = if name == REQUEST_ID {
                line
            } else {
                &mut labels
            };
            member(whose, name, &|line| line.extend(value));
        }
    }
    if let Some(members) = labels.get_mut(1..) {
        line.extend(b",\"labels\":{");
        line.extend_from_slice(members);
        line.push(b'}');
    }
}

/// `,"name":value`. Names are Rust's, and need no escaping.
fn member(line: &mut Vec<u8>, name: &str, write: &dyn Fn(&mut Vec<u8>)) {
    line.extend(b",\"");
    line.extend(name.as_bytes());
    line.extend(b"\":");
    write(line);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The lines that were written.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let (writer, written) = LogWriter::to_memory();
        let layer = EcsLayer::new(writer.clone(), "program", "1.2.3");
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        writer.flush();
        let text = written.text();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    #[test]
    fn a_line_has_the_names_of_the_schema() {
        let lines =
            lines(|| tracing::warn!(model.name = "tiny", count = 3, ok = true, "it \"works\"\n"));
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        let expected = json!({
            "log.level": "warn", "message": "it \"works\"\n", "model.name": "tiny", "count": 3, "ok": true,
            "ecs.version": "9.0.0", "service.name": "program", "service.version": "1.2.3",
            "log.logger": "claw_telemetry::logs::ecs::tests",
        });
        let mut line = line.clone();
        let at = line
            .as_object_mut()
            .and_then(|line| line.remove("@timestamp"));
        let at = at.expect("a time").as_str().expect("text").to_owned();
        assert!(humantime::parse_rfc3339(&at).is_ok(), "{at}");
        assert_eq!(line, expected);
    }

    #[test]
    fn the_spans_around_tell_of_the_request() {
        let lines = lines(|| {
            let request = tracing::info_span!(
                "request",
                http.request.id = "r-1",
                handler = "chat",
                otel.kind = "server"
            );
            let _request = request.entered();
            tracing::info!("outer");
            let _call = tracing::info_span!("upstream", handler = "inner", model = "far").entered();
            tracing::info!("inner");
        });
        assert_eq!(lines[0]["http.request.id"], "r-1");
        assert_eq!(lines[0]["labels"], json!({"handler": "chat"}));
        assert_eq!(lines[1]["http.request.id"], "r-1");
        assert_eq!(
            lines[1]["labels"],
            json!({"handler": "inner", "model": "far"})
        );
    }

    #[test]
    fn work_within_a_span_belongs_to_it() {
        let lines = lines(|| {
            let request = tracing::info_span!("request", http.request.id = "r-1", handler = "chat");
            let work = async {
                tracing::info!("outer");
                let _call = tracing::info_span!("upstream", handler = "inner").entered();
                tracing::info!("inner");
            };
            work_off(within::within(request, work));
            tracing::info!("after");
        });
        for line in &lines[..2] {
            assert_eq!(line["http.request.id"], "r-1");
        }
        assert_eq!(lines[0]["labels"], json!({"handler": "chat"}));
        assert_eq!(lines[1]["labels"], json!({"handler": "inner"}));
        assert_eq!(
            (&lines[2]["http.request.id"], &lines[2]["labels"]),
            (&Value::Null, &Value::Null)
        );
    }

    /// For a future that waits for nothing.
    fn work_off(work: impl Future<Output = ()>) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(work).poll(&mut context).is_ready());
    }

    #[test]
    fn a_number_that_json_lacks_spoils_no_line() {
        let lines = lines(|| tracing::info!(ratio = f64::NAN, "odd"));
        assert_eq!(lines[0]["ratio"], Value::Null);
    }
}
