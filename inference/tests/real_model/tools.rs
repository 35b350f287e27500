//! Calls of tools, by a model whose chat template knows none.

use claw_inference::{
    ChatModel, ChatRequest, Event, FinishReason, Message, Quantization, SubmitError, Tool,
    ToolCall, ToolChoice,
};
use serde_json::{Map, Value, json};

use crate::chat::{PATIENCE, ask, here, load, submit};

fn tools() -> Vec<Tool> {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": false,
    });
    let tool = |name: &str, parameters: Option<Value>| Tool {
        name: name.to_owned(),
        description: Some(format!("Tells the {name}")),
        parameters,
        is_strict: false,
    };
    vec![tool("weather", Some(parameters)), tool("time", None)]
}

fn asked(choice: ToolChoice) -> ChatRequest {
    ChatRequest {
        tools: tools(),
        tool_choice: choice,
        max_tokens: Some(300),
        ..ask("What is the weather in Paris for 3 days?")
    }
}

/// The text, the calls and why the answer ended.
fn outcome(
    model: &ChatModel,
    request: ChatRequest,
) -> (String, Vec<(String, String)>, FinishReason) {
    let events = submit(model, request);
    let (mut text, mut calls) = (String::new(), Vec::<(String, String)>::new());
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            Event::Text(piece) => text += &piece,
            Event::ToolCall(piece) => {
                if let Some(begin) = piece.begin {
                    calls.push((begin.name, String::new()));
                }
                calls[piece.index].1 += &piece.arguments;
            }
            Event::Finished { reason, .. } => return (text, calls, reason),
            Event::Failed(error) => panic!("{error:?}"),
            Event::Started { .. } | Event::LogProbabilities(_) => {}
        }
    }
}

#[test]
fn required_and_named_calls_are_always_valid() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let schema = tools()[0].parameters.clone().expect("given");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let choices = [
        ToolChoice::Required,
        ToolChoice::Named("weather".to_owned()),
    ];
    for (choice, seed) in choices
        .into_iter()
        .flat_map(|choice| [(choice.clone(), None), (choice, Some(3))])
    {
        let request = ChatRequest {
            temperature: Some(if seed.is_some() { 1.0 } else { 0.0 }),
            seed,
            single_tool_call: true,
            ..asked(choice.clone())
        };
        let (text, calls, reason) = outcome(&model, request);
        let [(name, arguments)] = calls.as_slice() else {
            panic!("{calls:?}")
        };
        assert_eq!((text.as_str(), reason), ("", FinishReason::ToolCalls));
        let arguments: Value = serde_json::from_str(arguments).expect("JSON");
        match name.as_str() {
            "weather" => assert!(validator.is_valid(&arguments), "{arguments}"),
            other => {
                assert_eq!((other, &choice), ("time", &ToolChoice::Required));
                assert_eq!(arguments, json!({}));
            }
        }
    }
}

#[test]
fn a_free_model_answers_in_words_or_in_valid_calls() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let mut request = asked(ToolChoice::Auto);
    request.tools[0].is_strict = true;
    request.max_tokens = Some(60);
    let (text, calls, reason) = outcome(&model, request);
    assert!(!text.is_empty() || !calls.is_empty(), "{reason:?}");
    let (text, calls, reason) = outcome(&model, asked(ToolChoice::None));
    assert!(calls.is_empty() && !text.is_empty() && reason != FinishReason::ToolCalls);
}

#[test]
fn results_are_part_of_the_conversation() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "weather".to_owned(),
        arguments: Map::from_iter([("city".to_owned(), json!("Paris"))]),
    };
    let messages = vec![
        Message::new("user", "What is the weather in Paris?"),
        Message {
            tool_calls: vec![call],
            ..Message::new("assistant", "")
        },
        Message {
            tool_call_id: Some("c1".to_owned()),
            ..Message::new("tool", "It is sunny, 25 degrees.")
        },
    ];
    let with = model.count_tokens(&messages, &tools()).expect("countable");
    let without = model.count_tokens(&messages, &[]).expect("countable");
    assert!(with > without + 50, "{with} and {without}");
    let request = ChatRequest {
        messages,
        max_tokens: Some(40),
        ..ask("")
    };
    let (text, calls, _) = outcome(&model, request);
    assert!(!text.is_empty() && calls.is_empty(), "{calls:?}");
}

#[test]
fn a_tool_whose_schema_cannot_be_kept_is_named() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let mut request = asked(ToolChoice::Required);
    request.tools[1].parameters = Some(json!({"not": {}}));
    let refused = model.submit(request, Box::new(|_| std::ops::ControlFlow::Continue(())));
    let Err(SubmitError::UnsupportedForm { field, problem }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(field, "tools");
    assert!(problem.contains("not"), "{problem}");
}
