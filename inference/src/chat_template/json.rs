//! JSON as templates expect it: what Python's `json.dumps` writes, without the escapes of HTML.

use std::io;

use minijinja::{Error, ErrorKind, Value, value::Kwargs};
use serde::Serialize as _;
use serde_json::{
    Serializer,
    ser::{Formatter, PrettyFormatter},
};

/// The filter `tojson`. `indent` is the number of blanks of a level; what else Python takes is accepted where it changes
/// nothing here.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
pub(super) fn to_json(value: &Value, args: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = args.get("indent")?;
    // Always so: letters beyond ASCII are written as they are.
    let _: Option<bool> = args.get("ensure_ascii")?;
    args.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(indent) => {
            let blanks = " ".repeat(indent.min(16));
            let formatter = PrettyFormatter::with_indent(blanks.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    let fault = |error| {
        Error::new(ErrorKind::InvalidOperation, "cannot be written as JSON").with_source(error)
    };
    written.map_err(fault)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A blank after `,` and `:`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("{{ v | tojson }}", r#"{"b": [1, "<é>"], "a": null}"#)]
    #[case(
        "{{ v | tojson(ensure_ascii=false) }}",
        r#"{"b": [1, "<é>"], "a": null}"#
    )]
    #[case("{{ v.b | tojson(indent=2) }}", "[\n  1,\n  \"<é>\"\n]")]
    fn json_is_what_python_writes(#[case] template: &str, #[case] expected: &str) {
        let mut environment = Environment::new();
        environment.add_filter("tojson", to_json);
        let value = serde_json::json!({"b": [1, "<é>"], "a": null});
        let context = context! { v => Value::from(minijinja::value::Serde(value)) };
        assert_eq!(
            environment.render_str(template, context).expect("valid"),
            expected
        );
    }
}
