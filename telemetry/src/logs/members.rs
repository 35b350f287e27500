//! Fields of an event or a span as members of a JSON object.

use std::fmt;

use serde::Serializer as _;
use tracing::field::{Field, Visit};

/// What tells the exporter of traces how to treat a span, and nobody else anything.
const FOR_TRACES: &str = "otel.";

/// Gives each field as its name and its value in JSON.
pub(super) struct Members<F>(pub(super) F);

impl<F: FnMut(&'static str, &dyn Fn(&mut Vec<u8>))> Members<F> {
    fn give(&mut self, field: &Field, write: &dyn Fn(&mut Vec<u8>)) {
        let name = field.name();
        if !name.starts_with(FOR_TRACES) {
            (self.0)(name, write);
        }
    }
}

impl<F: FnMut(&'static str, &dyn Fn(&mut Vec<u8>))> Visit for Members<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.give(field, &|line| json(line, &value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.give(field, &|line| json(line, &value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.give(field, &|line| json(line, &value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.give(field, &|line| json(line, &value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.give(field, &|line| json(line, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.give(field, &|line| text(line, format_args!("{value:?}")));
    }
}

/// A value; numbers that JSON does not have become null.
pub(super) fn json<T: serde::Serialize + ?Sized>(line: &mut Vec<u8>, value: &T) {
    // Neither a vector nor these values fail.
    let _ = serde_json::to_writer(line, value);
}

/// Text, without a copy of it.
pub(super) fn text(line: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    // As above.
    let _ = serde_json::Serializer::new(line).collect_str(&value);
}
