//! The most that a client may ask of a grammar, checked before anything is made of it.
//!
//! Far more than what people write: the largest schemas of public collections have some thousand values.

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
/// The most alternatives of one `oneOf`: each is compared with each.
const MAX_EXCLUSIVE: usize = 100;

pub(super) fn check_schema(schema: &Value) -> Result<(), GrammarError> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(GrammarError("must be a JSON schema: an object".to_owned()));
    }
    let values = count(schema)?;
    if values > MAX_SCHEMA_VALUES {
        return Err(GrammarError(format!(
            "has {values} values, and {MAX_SCHEMA_VALUES} are the most: make the schema smaller"
        )));
    }
    let bytes = schema.to_string().len();
    if bytes > MAX_SCHEMA_BYTES {
        return Err(GrammarError(format!(
            "has {bytes} bytes, and {MAX_SCHEMA_BYTES} are the most: make the schema smaller"
        )));
    }
    Ok(())
}

fn count(value: &Value) -> Result<usize, GrammarError> {
    let children: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => {
            let exclusive = fields.get("oneOf").and_then(Value::as_array);
            if exclusive.is_some_and(|all| all.len() > MAX_EXCLUSIVE) {
                return Err(GrammarError(format!(
                    "has a oneOf of more than {MAX_EXCLUSIVE} schemas: use anyOf, or make it smaller"
                )));
            }
            fields.values().collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    children
        .into_iter()
        .try_fold(1, |sum, child| Ok(sum + count(child)?))
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
    Ok(())
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
