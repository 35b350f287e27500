//! The most that a client may ask of a grammar, checked before anything is made of it.
//!
//! Far more than what people write: the largest schemas of public collections have some thousand values.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;

use super::GrammarError;

/// The most bytes of a schema as JSON.
pub const MAX_SCHEMA_BYTES: usize = 128 * 1024;
/// The most values in a schema: objects, lists, words and numbers.
pub const MAX_SCHEMA_VALUES: usize = 8_000;
/// The most bytes of a regular expression.
pub const MAX_REGEX_BYTES: usize = 8 * 1024;
/// The most texts to choose among.
pub const MAX_CHOICES: usize = 1_000;
/// The most letters and ranges of letters in the regular expressions of a form, each as often as it may be repeated.
const MAX_REGEX_SIZE: usize = 10_000;
/// The most patterns of a schema in which one text has to match several: the work is that of all their combinations.
const MAX_COMBINED_PATTERNS: usize = 2;
/// The most alternatives of one `oneOf`: each is compared with each.
const MAX_EXCLUSIVE: usize = 100;

pub(super) fn check_schema(schema: &Value) -> Result<(), GrammarError> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(GrammarError("must be a JSON schema: an object".to_owned()));
    }
    let bytes = schema.to_string().len();
    if bytes > MAX_SCHEMA_BYTES {
        return Err(GrammarError(format!(
            "has {bytes} bytes, and {MAX_SCHEMA_BYTES} are the most: make the schema smaller"
        )));
    }
    let mut found = Found::default();
    found.look_at(schema)?;
    if found.values > MAX_SCHEMA_VALUES {
        return Err(GrammarError(format!(
            "has {} values, and {MAX_SCHEMA_VALUES} are the most: make the schema smaller",
            found.values
        )));
    }
    if found.combines_patterns && found.patterns.len() > MAX_COMBINED_PATTERNS {
        return Err(GrammarError(format!(
            "has {} patterns, and {MAX_COMBINED_PATTERNS} are the most in a schema with allOf, or with a pattern beside \
             anyOf, oneOf or $ref: leave some out",
            found.patterns.len()
        )));
    }
    check_sizes(found.patterns.into_iter())
}

/// What a schema is made of.
#[derive(Default)]
struct Found<'a> {
    values: usize,
    patterns: Vec<&'a str>,
    combines_patterns: bool,
}

impl<'a> Found<'a> {
    fn look_at(&mut self, value: &'a Value) -> Result<(), GrammarError> {
        self.values += 1;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.look_at(item)),
            Value::Object(fields) => {
                let has = |name: &str| fields.contains_key(name);
                let exclusive = fields.get("oneOf").and_then(Value::as_array);
                if exclusive.is_some_and(|all| all.len() > MAX_EXCLUSIVE) {
                    return Err(GrammarError(format!(
                        "has a oneOf of more than {MAX_EXCLUSIVE} schemas: use anyOf, or make it smaller"
                    )));
                }
                let pattern = fields.get("pattern").and_then(Value::as_str);
                self.patterns.extend(pattern);
                let named = fields.get("patternProperties").and_then(Value::as_object);
                self.patterns.extend(
                    named
                        .into_iter()
                        .flat_map(|named| named.keys())
                        .map(String::as_str),
                );
                let is_beside = pattern.is_some() && (has("anyOf") || has("oneOf") || has("$ref"));
                self.combines_patterns |= has("allOf") || is_beside;
                fields.values().try_for_each(|field| self.look_at(field))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }
}

/// Whether regular expressions are small enough together.
fn check_sizes<'a>(regexes: impl Iterator<Item = &'a str>) -> Result<(), GrammarError> {
    let mut sum = 0_usize;
    for regex in regexes {
        let parsed = regex_syntax::parse(regex).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.rsplit("error: ").next().unwrap_or_default();
            let shown: String = regex.chars().take(40).collect();
            GrammarError(format!("has the regular expression {shown:?}: {reason}"))
        })?;
        sum = sum.saturating_add(size(&parsed));
    }
    if sum > MAX_REGEX_SIZE {
        return Err(GrammarError(format!(
            "has regular expressions of {sum} letters with their repetitions, and {MAX_REGEX_SIZE} are the most: \
             repeat less"
        )));
    }
    Ok(())
}

fn size(regex: &Hir) -> usize {
    match regex.kind() {
        HirKind::Empty => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => class.ranges().len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        HirKind::Look(_) => 1,
        HirKind::Repetition(repetition) => {
            let least = repetition.min.saturating_add(1);
            let most = usize::try_from(repetition.max.unwrap_or(least)).unwrap_or(usize::MAX);
            most.saturating_mul(size(&repetition.sub))
        }
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .fold(0, |sum, part| sum.saturating_add(size(part))),
    }
}

pub(super) fn check_regex(regex: &str) -> Result<(), GrammarError> {
    if regex.is_empty() {
        return Err(GrammarError(
            "is empty, and nothing would be said".to_owned(),
        ));
    }
    if regex.len() > MAX_REGEX_BYTES {
        return Err(GrammarError(format!(
            "has {} bytes, and {MAX_REGEX_BYTES} are the most: make it smaller",
            regex.len()
        )));
    }
    check_sizes(std::iter::once(regex))
}

pub(super) fn check_choices(choices: &[String]) -> Result<(), GrammarError> {
    let bytes: usize = choices.iter().map(String::len).sum();
    if choices.is_empty() || choices.iter().any(String::is_empty) {
        return Err(GrammarError(
            "must have at least one text, and none that is empty".to_owned(),
        ));
    }
    if choices.len() > MAX_CHOICES || bytes > MAX_SCHEMA_BYTES {
        return Err(GrammarError(format!(
            "has {} texts of {bytes} bytes in all, and {MAX_CHOICES} texts of {MAX_SCHEMA_BYTES} bytes are the most",
            choices.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_large_says_how_large_it_may_be() {
        let many: Vec<usize> = (0..MAX_SCHEMA_VALUES).collect();
        let one_of = vec![json!(true); MAX_EXCLUSIVE + 1];
        for (schema, reason) in [
            (json!({"enum": many}), "8000 are the most"),
            (
                json!({"const": "x".repeat(MAX_SCHEMA_BYTES)}),
                "131072 are the most",
            ),
            (
                json!({"items": {"oneOf": one_of}}),
                "oneOf of more than 100",
            ),
            (json!("string"), "an object"),
        ] {
            let error = check_schema(&schema).expect_err("too large").to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(check_schema(&json!({"type": "object"})), Ok(()));
        assert_eq!(check_schema(&json!(true)), Ok(()));
    }

    #[test]
    fn patterns_count_as_often_as_they_repeat() {
        let refused = |schema: Value| check_schema(&schema).expect_err("too large").to_string();
        let repeated = json!({"pattern": "^((a{0,100}){0,100}){0,100}$"});
        assert!(refused(repeated).contains("1000002 letters"));
        let three = json!([{"pattern": "a"}, {"pattern": "b"}, {"pattern": "c"}]);
        assert_eq!(check_schema(&json!({"anyOf": three})), Ok(()));
        assert!(refused(json!({"allOf": three})).contains("3 patterns"));
        assert!(
            refused(json!({"pattern": "d", "$ref": "#", "anyOf": three})).contains("4 patterns")
        );
        assert!(refused(json!({"pattern": "(?=x)"})).contains("look-around"));
    }

    #[test]
    fn regular_expressions_and_choices_are_bounded_too() {
        assert!(check_regex("").is_err() && check_regex(&"a".repeat(MAX_REGEX_BYTES + 1)).is_err());
        assert_eq!(check_regex("[a-z]+"), Ok(()));
        let choices = |texts: &[&str]| {
            check_choices(
                &texts
                    .iter()
                    .map(|&text| text.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(choices(&[]).is_err() && choices(&["a", ""]).is_err());
        assert!(choices(&vec!["a"; MAX_CHOICES + 1]).is_err());
        assert_eq!(choices(&["a", "b"]), Ok(()));
    }
}
