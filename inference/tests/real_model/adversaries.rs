//! Forms made to do harm: refused within a moment, or kept, and nobody else notices.

use std::{ops::ControlFlow, time::Duration};

use claw_inference::{
    AnswerFormat, ChatModel, ChatRequest, Event, FinishReason, GenerationError, Quantization,
    SubmitError,
};
use serde_json::{Map, Value, json};

use crate::{
    chat::{PATIENCE, answer, ask, here, load, submit},
    forms::deep,
};

/// What becomes of a request with a form.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Refused(String),
    /// It began, and became too complex.
    GivenUp,
    Answered,
}

fn fate(model: &ChatModel, format: AnswerFormat) -> Fate {
    let request = ChatRequest {
        format: Some(format),
        temperature: Some(1.0),
        seed: Some(1),
        max_tokens: Some(8),
        ..ask("Hi")
    };
    let (sender, events) = std::sync::mpsc::channel();
    let sink = move |event| {
        // The receiver waits to the end.
        let _ = sender.send(event);
        ControlFlow::Continue(())
    };
    match model.submit(request, Box::new(sink)) {
        Err(SubmitError::UnsupportedForm { field, problem }) => {
            assert_eq!(field, "response_format");
            return Fate::Refused(problem);
        }
        Err(other) => panic!("{other:?}"),
        Ok(()) => {}
    }
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            Event::Failed(GenerationError::Grammar(_)) => return Fate::GivenUp,
            Event::Failed(error) => panic!("{error:?}"),
            Event::Finished { .. } => return Fate::Answered,
            _ => {}
        }
    }
}

fn wide(properties: usize) -> Value {
    let properties: Map<String, Value> = (0..properties)
        .map(|number| (format!("property_{number}"), json!({"type": "string"})))
        .collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// Each level doubles what the one below is.
fn doubling(levels: usize) -> Value {
    let mut definitions = Map::from_iter([("d0".to_owned(), json!({"type": "boolean"}))]);
    for level in 1..levels {
        let below = json!({"$ref": format!("#/$defs/d{}", level - 1)});
        let both = json!({"allOf": [{"anyOf": [below, below]}, {"anyOf": [below, below]}]});
        definitions.insert(format!("d{level}"), both);
    }
    json!({"$defs": definitions, "$ref": format!("#/$defs/d{}", levels - 1)})
}

fn schemas() -> Vec<Value> {
    let texts: Vec<String> = (0..7000)
        .map(|number| format!("value number {number}"))
        .collect();
    let patterns: Vec<Value> = (0..40)
        .map(|number| json!({"type": "string", "pattern": format!("(a|b)*{number}.{{1,20}}[x-z]{{3,30}}")}))
        .collect();
    vec![
        deep(55),
        wide(1500),
        doubling(30),
        json!({"enum": texts}),
        json!({"anyOf": patterns}),
        json!({"allOf": patterns}),
        json!({"type": "string", "minLength": 100_000}),
        json!({"type": "string", "pattern": "^(((a{0,100}){0,100}){0,100}){0,100}$"}),
        json!({"type": "string", "pattern": "^(?=x)y$"}),
        json!({"type": "string", "pattern": "(((((((((("}),
        json!({"type": "array", "items": {"type": "array", "minItems": 3000}, "minItems": 3000, "maxItems": 9_000_000}),
        json!({"type": "number", "multipleOf": 1e-9, "minimum": 1e-300, "maximum": 1e300}),
        json!({"type": "integer", "multipleOf": 999_999_937, "minimum": 999_999_936}),
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"allOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"not": {"type": "string"}}),
        json!({"type": "array", "uniqueItems": true}),
        json!({"if": {"type": "string"}, "then": false}),
        json!({"oneOf": vec![json!({"type": "object"}); 90]}),
        json!({"type": "string", "format": "no-such-format"}),
        json!({"type": "wizard"}),
        json!({"properties": 7}),
        json!({"enum": []}),
        json!({"type": "object", "patternProperties": {"^(a+)+$": {"type": "null"}, "^(a*)*b$": true}}),
        json!({"$schema": "https://example.com/of/nobody", "type": "null"}),
    ]
}

fn regexes() -> Vec<String> {
    vec![
        "(a+)+$".to_owned(),
        "((a{1,500}){1,500}){1,500}".to_owned(),
        "(.*a.{200}){20}".to_owned(),
        format!("({})", vec!["[^x]{0,99}x"; 300].join("|")),
        "(?<=x)y".to_owned(),
        r"(a)\1".to_owned(),
        "a/b\"\n%json {}\nstart: /.*/".to_owned(),
        "(".repeat(4000),
        r"\p{L}{5000}".to_owned(),
        "[".to_owned(),
    ]
}

#[test]
fn hostile_forms_are_bounded_and_harm_nobody() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    // With a seed it is the same in any company.
    let long = ChatRequest {
        max_tokens: Some(24),
        seed: Some(1),
        ..ask("Tell me a story.")
    };
    let (expected, ..) = answer(&model, long.clone());
    let mut fates = Vec::new();
    let forms = schemas()
        .into_iter()
        .map(AnswerFormat::JsonSchema)
        .chain(regexes().into_iter().map(AnswerFormat::Regex));
    for format in forms {
        let told = format!("{format:?}").chars().take(60).collect::<String>();
        let started = std::time::Instant::now();
        let fate = fate(&model, format);
        eprintln!(
            "{:?} for {told}: {:.200}",
            started.elapsed(),
            format!("{fate:?}")
        );
        if let Fate::Refused(problem) = &fate {
            assert!(
                !problem.is_empty() && problem.chars().count() <= 340,
                "{problem}"
            );
        }
        fates.push(fate);
    }
    let refused = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Refused(_)))
        .count();
    assert!(refused >= 15, "only {refused} of {fates:?}");
    assert_eq!(answer(&model, long).0, expected, "the same as before");
}

#[test]
fn a_form_under_preparation_does_not_hold_up_the_model() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let running = submit(
        &model,
        ChatRequest {
            max_tokens: Some(30),
            ..ask("Tell me a story.")
        },
    );
    let other = model.clone();
    let hostile = std::thread::spawn(move || {
        for schema in schemas() {
            let request = ChatRequest {
                format: Some(AnswerFormat::JsonSchema(schema)),
                ..ask("Hi")
            };
            // What is accepted is left at once; the point is the preparing.
            let _ = other.submit(request, Box::new(|_| ControlFlow::Break(())));
        }
    });
    let reason = loop {
        match running
            .recv_timeout(Duration::from_mins(2))
            .expect("an event")
        {
            Event::Finished { reason, .. } => break reason,
            Event::Failed(error) => panic!("{error:?}"),
            _ => {}
        }
    };
    assert!(matches!(reason, FinishReason::Length | FinishReason::Stop));
    hostile.join().expect("no panic");
}

#[test]
fn what_a_schema_cannot_say_is_told() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    for (schema, reason) in [
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (
            json!({"type": "string", "format": "no-such-format"}),
            "no-such-format",
        ),
        (json!({"type": "string", "pattern": "(?=x)"}), "look-around"),
        (json!({"$ref": "https://example.com/x"}), "$ref"),
        (
            json!({"allOf": [{"type": "string"}, {"type": "null"}]}),
            "incompatible types",
        ),
        (json!({"enum": vec![1; 9000]}), "8000 are the most"),
    ] {
        match fate(&model, AnswerFormat::JsonSchema(schema.clone())) {
            Fate::Refused(problem) => {
                assert!(problem.contains(reason), "{schema}: {problem}");
            }
            other => panic!("{schema}: {other:?}"),
        }
    }
}
