//! Tiny BART and T5 as Optimum exports them: answers are those of transformers.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use claw_inference::{
    Cancellation, Event, FinishReason, Seq2SeqModel, Seq2SeqRequest, encoder::InputError,
    is_seq2seq,
};
use rstest::rstest;
use serde::Deserialize;

use crate::fixture::{has_runtime, options};

const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    bart: Vec<Case>,
    t5: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    text: String,
    tokens: usize,
    answer_tokens: usize,
    answer: String,
}

struct Answer {
    pieces: Vec<String>,
    reason: FinishReason,
    prompt_tokens: usize,
    completion_tokens: usize,
}

fn directory(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference")).join(name)
}

fn ask(model: &Seq2SeqModel, text: &str, max_tokens: Option<u32>) -> Result<Answer, InputError> {
    let (sender, events) = mpsc::channel();
    let request = Seq2SeqRequest {
        text: text.to_owned(),
        max_tokens,
        cancellation: Cancellation::default(),
    };
    let sink = Box::new(move |event| match sender.send(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    model.submit(request, sink)?;
    let mut pieces = Vec::new();
    loop {
        match events
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no event came"))
        {
            Event::Started { .. } => {}
            Event::Text(text) => pieces.push(text),
            Event::Finished { reason, usage } => {
                return Ok(Answer {
                    pieces,
                    reason,
                    prompt_tokens: usage.prompt_tokens,
                    completion_tokens: usage.completion_tokens,
                });
            }
            Event::Failed(error) => panic!("{error:?}"),
            other @ (Event::ToolCall(_) | Event::LogProbabilities(_)) => {
                panic!("a summary has none: {other:?}")
            }
        }
    }
}

#[rstest]
#[case::a_merged_decoder("tiny-bart")]
#[case::two_decoders("tiny-t5")]
fn answers_are_those_of_the_reference(#[case] name: &str) {
    if !has_runtime() {
        return;
    }
    let reference: Reference =
        serde_json::from_str(include_str!("../reference/seq2seq.json")).expect("a valid file");
    let cases = match name {
        "tiny-bart" => reference.bart,
        _ => reference.t5,
    };
    assert!(is_seq2seq(&directory(name)));
    let model = Seq2SeqModel::load(&directory(name), options()).expect("loads");
    for case in cases {
        let answer = ask(&model, &case.text, None).expect("accepted");
        assert_eq!(answer.pieces.concat(), case.answer, "{}", case.text);
        assert_eq!(
            (answer.prompt_tokens, answer.completion_tokens),
            (case.tokens, case.answer_tokens)
        );
        assert!(answer.pieces.len() > 1, "it comes in pieces");
    }
}

#[test]
fn lengths_are_kept() {
    if !has_runtime() {
        return;
    }
    let model = Seq2SeqModel::load(&directory("tiny-t5"), options()).expect("loads");
    let answer = ask(&model, "hello world", Some(4)).expect("accepted");
    assert_eq!(
        (answer.reason, answer.completion_tokens),
        (FinishReason::Length, 4)
    );
    let error = ask(&model, &"a".repeat(50), None).map(drop);
    let message = error.expect_err("too long").to_string();
    assert!(
        message.contains("text has 52 tokens, and the model takes 40"),
        "{message}"
    );
}
