//! What an answer is to look like, as text of the grammar language.

use serde_json::{Value, json};

use super::{GrammarError, bounds};

/// White space between the parts of JSON, at one place. Bounded, since small models would write nothing else.
const WHITE_SPACE: &str = r"[\x20\x0A\x0D\x09]{1,40}";

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerFormat {
    /// A JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema(Value),
    /// A text that matches a regular expression from its beginning to its end.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
}

/// A grammar in text; the rule `start` is an answer. Equal texts are equal grammars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrammarSource(String);

impl GrammarSource {
    /// Rules, one a line.
    pub(crate) fn new(rules: String) -> Self {
        Self(rules)
    }

    /// For answers of a form.
    pub(crate) fn of_format(format: &AnswerFormat) -> Result<Self, GrammarError> {
        Ok(Self(format.rule("start")?))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl AnswerFormat {
    /// A rule of that name for such answers.
    pub(crate) fn rule(&self, name: &str) -> Result<String, GrammarError> {
        match self {
            Self::JsonObject => json_rule(name, &json!({"type": "object"})),
            Self::JsonSchema(schema) => json_rule(name, schema),
            Self::Regex(regex) => {
                bounds::check_regex(regex)?;
                let regex = llguidance::regex_to_lark(regex, "");
                Ok(format!("{name}: /{regex}/\n"))
            }
            Self::Choice(choices) => {
                bounds::check_choices(choices)?;
                let texts: Vec<_> = choices.iter().map(|text| text_literal(text)).collect();
                Ok(format!("{name}: {}\n", texts.join(" | ")))
            }
        }
    }
}

/// A rule of that name for JSON of a schema.
pub(crate) fn json_rule(name: &str, schema: &Value) -> Result<String, GrammarError> {
    bounds::check_schema(schema)?;
    let mut schema = match schema {
        Value::Bool(true) => json!({}),
        other => other.clone(),
    };
    if let Value::Object(fields) = &mut schema {
        // The compiler's own options travel in the schema: a client has no say in them.
        fields.insert(
            "x-guidance".to_owned(),
            json!({"whitespace_pattern": WHITE_SPACE}),
        );
    }
    Ok(format!("{name}: %json {schema}\n"))
}

/// A text as the grammar language writes it.
pub(crate) fn text_literal(text: &str) -> String {
    Value::from(text).to_string()
}
