use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{
    sampler::{Sampler, Sampling},
    tokenizer::tests::bytes_tokenizer,
    tools::{Tool, ToolChoice, ToolFormat, rules},
};

const EOS: u32 = 257;
const LONGEST: usize = 4000;

fn compiler() -> GrammarCompiler {
    GrammarCompiler::new(Arc::new(bytes_tokenizer()), vec![EOS])
}

fn compiled(format: &AnswerFormat) -> Result<Grammar, GrammarError> {
    compiler().compile(&GrammarSource::of_format(format)?)
}

/// What a model says that finds every token as likely as any other, but for text that comes to an end.
fn babble(grammar: Grammar, seed: u64) -> String {
    let tokenizer = bytes_tokenizer();
    let sampling = Sampling {
        seed,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(sampling, &[], Some(grammar));
    let mut logits = vec![0.0; tokenizer.vocabulary_size()];
    for end in [b'"', b'}', b']', b','] {
        logits[usize::from(end)] = 4.0;
    }
    logits[EOS as usize] = 8.0;
    let mut bytes = Vec::new();
    for _ in 0..LONGEST {
        let token = sampler.choose(&logits).expect("a token").token;
        if token == EOS {
            return String::from_utf8(bytes).expect("text");
        }
        bytes.extend_from_slice(tokenizer.token_bytes(token));
    }
    panic!("no end: {}", String::from_utf8_lossy(&bytes))
}

#[test]
fn chance_says_nothing_but_what_the_schema_allows() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 6},
            "size": {"enum": ["s", "m", 3]},
            "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        },
        "required": ["name", "size"],
        "additionalProperties": false,
    });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let compiler = compiler();
    let source = GrammarSource::of_format(&AnswerFormat::JsonSchema(schema)).expect("small");
    for seed in 0..40 {
        let text = babble(compiler.compile(&source).expect("a grammar"), seed);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert!(validator.is_valid(&value), "{text}");
    }
}

#[test]
fn a_complete_answer_can_only_end_and_markup_is_never_said() {
    let choice = AnswerFormat::Choice(vec!["he".to_owned()]);
    let mut grammar = compiled(&choice).expect("a grammar");
    let allowed = |grammar: &mut Grammar| {
        let mut logits = vec![0.0; 259];
        grammar.restrict(&mut logits).expect("allowed");
        let of_number = (0_u32..).zip(logits).filter(|(_, logit)| *logit == 0.0);
        of_number.map(|(token, _)| token).collect::<Vec<_>>()
    };
    // As its tokenizer writes it, and not letter by letter.
    assert_eq!(allowed(&mut grammar), [258]);
    grammar.commit(258).expect("allowed");
    assert_eq!(allowed(&mut grammar), [EOS]);
    grammar.commit(EOS).expect("the end");
    assert_eq!(allowed(&mut grammar), [EOS]);
}

#[rstest]
#[case("a/b", "a/b")]
#[case("\"\\n%json \\{\\}", "\"\n%json {}")]
#[case("x{3}", "xxx")]
fn regular_expressions_are_regular_expressions_and_nothing_else(
    #[case] regex: &str,
    #[case] expected: &str,
) {
    let grammar = compiled(&AnswerFormat::Regex(regex.to_owned())).expect("a grammar");
    assert_eq!(babble(grammar, 1), expected);
}

#[test]
fn a_client_has_no_say_in_the_compilers_options() {
    let schema = json!({"type": "string", "not": {}, "x-guidance": {"lenient": true}});
    let error = compiled(&AnswerFormat::JsonSchema(schema)).expect_err("not is not supported");
    assert!(error.0.contains("\"not\""), "{error}");
}

#[test]
fn the_same_grammar_is_prepared_once_and_begins_anew() {
    let compiler = compiler();
    let source = GrammarSource::of_format(&AnswerFormat::JsonObject).expect("small");
    let first = babble(compiler.compile(&source).expect("a grammar"), 3);
    assert_eq!(
        babble(compiler.compile(&source).expect("a grammar"), 3),
        first
    );
}

fn tools() -> Vec<Tool> {
    let parameters = json!({
        "type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": false,
    });
    let tool = |name: &str, parameters: Option<Value>| Tool {
        name: name.to_owned(),
        description: None,
        parameters,
        is_strict: true,
    };
    vec![tool("count", Some(parameters)), tool("stop", None)]
}

#[rstest]
fn calls_that_must_be_made_are_found_by_the_parser(
    #[values(
        ToolFormat::Hermes,
        ToolFormat::Llama,
        ToolFormat::Mistral,
        ToolFormat::Plain
    )]
    format: ToolFormat,
    #[values(true, false)] is_single: bool,
) {
    use crate::tools::CallParser;
    let compiler = compiler();
    let source = rules(format, &tools(), &ToolChoice::Required, is_single, None);
    let source = source.expect("valid").expect("a grammar");
    for seed in 0..10 {
        let text = babble(compiler.compile(&source).expect("a grammar"), seed);
        let names = vec!["count".to_owned(), "stop".to_owned()];
        let mut parser = CallParser::new(format, names, is_single);
        let mut said = parser.push(&text);
        said.extend(parser.finish());
        let texts = said
            .iter()
            .filter(|said| matches!(said, crate::tools::Said::Text(_)))
            .count();
        assert!(parser.has_called() && texts == 0, "{text:?}: {said:?}");
    }
}

#[rstest]
#[case(ToolFormat::Hermes, "<tool_call>\n")]
#[case(ToolFormat::Plain, "{\"tool_calls\": [")]
fn a_free_model_speaks_or_makes_a_valid_call(#[case] format: ToolFormat, #[case] opener: &str) {
    let source = rules(format, &tools(), &ToolChoice::Auto, false, None);
    let source = source.expect("valid").expect("a grammar");
    let grammar = compiler().compile(&source).expect("a grammar");
    let says = |text: &str| {
        let mut grammar = Grammar {
            matcher: grammar.matcher.deep_clone(),
        };
        text.bytes().all(|byte| {
            let mut logits = vec![0.0; 259];
            // Letters one by one, where the tokenizer would have taken several.
            grammar.matcher.compute_mask_or_eos().is_ok()
                && grammar.restrict(&mut logits).is_ok()
                && grammar
                    .matcher
                    .validate_tokens(&[u32::from(byte)])
                    .is_ok_and(|valid| valid == 1)
                && grammar.commit(u32::from(byte)).is_ok()
        })
    };
    assert!(says("Hello, <b>you</b>."));
    assert!(says(opener));
    assert!(says(&format!(
        "{opener}{{\"name\": \"count\", \"arguments\": {{\"n\": 2}}}}"
    )));
    assert!(!says(&format!(
        "{opener}{{\"name\": \"count\", \"arguments\": {{\"n\": 3"
    )));
    assert!(!says(&format!("{opener}{{\"name\": \"other")));
    if format == ToolFormat::Hermes {
        assert!(says(&format!("I count. {opener}{{\"name\": \"stop")));
        assert!(!says(&format!("I count. {opener}{{\"name\": \"start")));
    }
}

proptest! {
    /// Whatever a schema is, it is a grammar or a reason.
    #[test]
    fn any_schema_is_kept_or_refused(
        kind in prop_oneof![Just(json!("object")), Just(json!("array")), Just(json!("integer")), Just(json!(7)), Just(json!([]))],
        member in "(properties|items|enum|minimum|required|pattern|\\$ref|anyOf|maxItems|const|x-guidance)",
        value in prop_oneof![
            Just(json!({})), Just(json!([])), Just(json!(-1)), Just(json!("#")), Just(json!([{"type": "null"}])), Just(json!(null)),
            Just(json!({"a": {"type": "string"}})), Just(json!("[")),
        ],
    ) {
        let mut schema = json!({"type": kind});
        schema[&member] = value;
        if let Err(error) = compiled(&AnswerFormat::JsonSchema(schema)) {
            prop_assert!(!error.0.is_empty());
        }
    }
}
