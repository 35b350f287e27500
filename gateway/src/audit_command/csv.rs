//! Records as a table (RFC 4180). Pure.

use serde_json::{Map, Value};

/// What most records have, and most people ask for.
const COLUMNS: [&str; 18] = [
    "@timestamp",
    "event.sequence",
    "event.action",
    "event.outcome",
    "event.reason",
    "event.duration",
    "client.ip",
    "user.name",
    "http.request.method",
    "url.path",
    "http.response.status_code",
    "http.request.id",
    "trace.id",
    "claw.decision",
    "claw.model",
    "claw.tokens.prompt",
    "claw.tokens.completion",
    "claw.audit.hash",
];

/// The names of the columns.
pub(super) fn head() -> String {
    COLUMNS.join(",")
}

/// The values of a record; `None` where it is none.
pub(super) fn row(line: &[u8]) -> Option<String> {
    let record: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let cells = COLUMNS.map(|column| match record.get(column) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cell(text),
        Some(other) => cell(&other.to_string()),
    });
    Some(cells.join(","))
}

fn cell(text: &str) -> String {
    // Spreadsheets run what begins like a formula, and paths and names come from strangers.
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
    }

    #[test]
    fn a_row_has_every_column() {
        let line = br#"{"@timestamp":"t","event.sequence":3,"url.path":"/a,b"}"#;
        let row = row(line).expect("a record");
        assert!(
            row.starts_with("t,3,,") && row.contains("\"/a,b\""),
            "{row}"
        );
        assert_eq!(
            row.matches(',').count(),
            COLUMNS.len(),
            "one is inside of a cell"
        );
    }
}
