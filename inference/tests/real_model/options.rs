//! What changes which token is chosen, with a real model.

use claw_inference::{ChatRequest, Event, Quantization, TokenLogProbabilities};

use crate::{
    chat::{PATIENCE, answer, ask, here, load, submit},
    fixture::reference,
};

#[test]
fn biases_and_penalties_change_answers() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let plain = ChatRequest {
        max_tokens: Some(24),
        ..ask("What is the capital of France?")
    };
    let (text, _, _) = answer(&model, plain.clone());
    assert!(text.starts_with("The"), "{text}");
    let first = reference().cases[0].answer[0];
    let forced = ChatRequest {
        logit_bias: vec![(first, -100.0), (33, 100.0)],
        max_tokens: Some(3),
        ..plain.clone()
    };
    let (other, _, usage) = answer(&model, forced);
    assert_eq!(usage.completion_tokens, 3);
    assert!(other != text && !other.is_empty(), "{other}");
    let penalized = ChatRequest {
        repetition_penalty: Some(2.0),
        presence_penalty: Some(2.0),
        frequency_penalty: Some(2.0),
        ..plain
    };
    assert_ne!(answer(&model, penalized).0, text);
}

#[test]
fn probabilities_agree_with_the_reference() {
    let Some(model) = load(Quantization::None, here()) else {
        return;
    };
    let case = &reference().cases[0];
    let request = ChatRequest {
        messages: case.messages(),
        log_probabilities: Some(5),
        temperature: Some(0.0),
        max_tokens: Some(1),
        ..ChatRequest::default()
    };
    let events = submit(&model, request);
    let mut told: Vec<TokenLogProbabilities> = Vec::new();
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            Event::LogProbabilities(one) => told.push(one),
            Event::Finished { .. } => break,
            Event::Failed(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(told.chosen.token, case.answer[0]);
    for (one, (token, logit)) in told.top.iter().zip(&case.logits.top) {
        let expected = logit - case.logits.logsumexp;
        assert_eq!(one.token, *token);
        assert!(
            (one.log_probability - expected).abs() < 1e-2,
            "{} and {expected}",
            one.log_probability
        );
    }
}
