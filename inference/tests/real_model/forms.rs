//! Answers that are held to a form: always valid, whatever the schema, the prompt and chance.

use claw_inference::{AnswerFormat, ChatModel, ChatRequest, FinishReason, Quantization};
use serde_json::{Value, json};

use crate::chat::{answer, ask, here, load};

const PROMPTS: [&str; 5] = [
    "Describe a person as JSON.",
    "What is the capital of France?",
    "Give me anything but JSON. Write a poem instead.",
    "}}}}]]]]\"\"\"\",,,,",
    "Sag mir etwas über Zürich 🙂.",
];

/// Schemas whose answers come to an end within some tokens.
fn schemas() -> Vec<Value> {
    let word = json!({"type": "string", "maxLength": 8});
    let digit = json!({"type": "integer", "minimum": 0, "maximum": 9});
    let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    vec![
        json!({"type": "boolean"}),
        json!({"type": "null"}),
        word.clone(),
        digit.clone(),
        json!({"type": "integer", "minimum": -20, "maximum": -3}),
        json!({"type": "number", "minimum": 0.5, "maximum": 0.75, "multipleOf": 0.25}),
        json!({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 50}),
        json!({"type": ["boolean", "null"]}),
        json!({"const": {"a": [1, "two", null]}}),
        json!({"const": "say \"this\" \\ and / that\n🙂"}),
        json!({"enum": ["red", "green", "blue"]}),
        json!({"enum": [1, "1", true, null, [1], {"a": 1}]}),
        json!({"type": "string", "minLength": 3, "maxLength": 5}),
        json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "ipv4"}),
        json!({"type": "string", "format": "uuid"}),
        json!({"type": "array", "items": digit, "minItems": 2, "maxItems": 4}),
        json!({"type": "array", "prefixItems": [word, digit], "items": false, "minItems": 2}),
        json!({"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}),
        json!({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}, "maxItems": 2}),
        object(json!({"name": word, "age": digit}), json!(["name", "age"])),
        object(json!({"name": word, "age": digit}), json!([])),
        object(
            json!({"outer": object(json!({"inner": word}), json!(["inner"]))}),
            json!(["outer"]),
        ),
        object(
            json!({"z": {"type": "null"}, "a": {"type": "boolean"}}),
            json!(["z", "a"]),
        ),
        object(
            json!({"we ird \"key\" 🙂": {"type": "null"}}),
            json!(["we ird \"key\" 🙂"]),
        ),
        object(
            json!({"tags": {"type": "array", "items": {"enum": ["x", "y"]}, "maxItems": 2}}),
            json!(["tags"]),
        ),
        json!({"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 0}),
        json!({"type": "object", "patternProperties": {"^x[0-9]$": {"type": "null"}}, "additionalProperties": false, "maxProperties": 1}),
        json!({"anyOf": [{"type": "null"}, digit]}),
        json!({"oneOf": [{"type": "null"}, {"type": "boolean"}]}),
        json!({"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 5}]}),
        json!({"anyOf": [object(json!({"kind": {"const": "a"}}), json!(["kind"])), object(json!({"kind": {"const": "b"}, "n": digit}), json!(["kind", "n"]))]}),
        json!({"$ref": "#/$defs/word", "$defs": {"word": word}}),
        object(
            json!({"left": {"$ref": "#/properties/right"}, "right": {"type": "boolean"}}),
            json!(["left", "right"]),
        ),
        json!({"$defs": {"node": {"type": "object", "properties": {"next": {"anyOf": [{"type": "null"}, {"enum": [1, 2]}]}}, "required": ["next"], "additionalProperties": false}}, "$ref": "#/$defs/node"}),
        json!({"title": "with annotations", "description": "x", "default": true, "examples": [true], "type": "boolean"}),
        json!({"type": "string", "maxLength": 4, "x-unknown": {"ignored": true}}),
        json!({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": false, "x-guidance": {"lenient": true, "whitespace_flexible": false}}),
        json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3}),
        json!({"type": "string", "enum": ["<|im_end|>", "<|im_start|>"]}),
        json!({"type": "array", "items": {"anyOf": [{"const": "é"}, {"const": "日本"}, {"const": "\u{1f642}"}]}, "minItems": 1, "maxItems": 2}),
        deep(20),
    ]
}

/// Objects in objects.
pub(crate) fn deep(levels: usize) -> Value {
    (0..levels).fold(json!({"type": "null"}), |inner, _| {
        json!({"type": "object", "properties": {"a": inner}, "required": ["a"], "additionalProperties": false})
    })
}

fn formed(prompt: &str, format: AnswerFormat, seed: Option<u64>) -> ChatRequest {
    ChatRequest {
        format: Some(format),
        temperature: Some(if seed.is_some() { 1.0 } else { 0.0 }),
        seed,
        max_tokens: Some(400),
        ..ask(prompt)
    }
}

fn formed_answer(model: &ChatModel, request: ChatRequest) -> String {
    let (text, reason, _) = answer(model, request);
    assert_eq!(reason, FinishReason::Stop, "{text}");
    text
}

#[test]
fn json_of_a_schema_is_always_valid() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let mut pairs = 0;
    for (schema, seed) in schemas().into_iter().zip(0..) {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("a schema");
        for (prompt, place) in PROMPTS.iter().zip(0..) {
            // Chance finds corners that the most likely answer never comes to.
            let seed = (place > 0).then_some(seed);
            let format = AnswerFormat::JsonSchema(schema.clone());
            let text = formed_answer(&model, formed(prompt, format, seed));
            let value: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{schema} gave {text:?}: {error}"));
            let wrong = validator
                .iter_errors(&value)
                .next()
                .map(|error| error.to_string());
            assert_eq!(wrong, None, "{schema} gave {text}");
            pairs += 1;
        }
    }
    assert!(pairs >= 200, "{pairs} pairs are too few");
}

#[test]
fn a_json_object_is_one_and_regular_expressions_and_choices_match() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let asked = "Answer in JSON with the key city only: what is the capital of France?";
    let object = formed_answer(&model, formed(asked, AnswerFormat::JsonObject, None));
    assert!(
        serde_json::from_str::<Value>(&object).is_ok_and(|value| value.is_object()),
        "{object}"
    );
    let choices = ["Rome", "Paris", "Berlin"].map(str::to_owned).to_vec();
    let choice = AnswerFormat::Choice(choices.clone());
    let capital = "What is the capital of France?";
    let chosen = formed_answer(&model, formed(capital, choice, None));
    assert!(choices.contains(&chosen), "{chosen}");
    for seed in 0..3 {
        let regex = AnswerFormat::Regex(r"(yes|no)/[0-9]{2}\?".to_owned());
        let text = formed_answer(&model, formed(capital, regex, Some(seed)));
        let digits = text
            .strip_prefix("yes/")
            .or_else(|| text.strip_prefix("no/"))
            .and_then(|rest| rest.strip_suffix('?'));
        assert!(
            digits.is_some_and(|digits| digits.len() == 2 && digits.parse::<u8>().is_ok()),
            "{text}"
        );
    }
}

#[test]
fn a_limit_cuts_a_form_as_it_cuts_text() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let format = AnswerFormat::JsonSchema(deep(10));
    let request = ChatRequest {
        max_tokens: Some(4),
        ..formed("Hi", format, None)
    };
    let (text, reason, usage) = answer(&model, request);
    assert_eq!((reason, usage.completion_tokens), (FinishReason::Length, 4));
    assert!(text.starts_with('{'), "{text}");
}
