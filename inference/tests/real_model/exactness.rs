//! The same prompts, tokens, logits and answers as the reference.

use claw_inference::{ChatTemplate, Message, Quantization, Tokenizer};

use crate::device::is_on_cpu;
use crate::fixture::{Case, decoder, model, reference, short_reference};

/// Two ways of adding the same products differ by about 0.0001.
const FLOAT_TOLERANCE: f32 = 0.002;
/// What 16 bits make of the largest logits.
const HALF_TOLERANCE: f32 = 0.25;
/// Quantized activations move single logits by up to about 1, but not the whole of a distribution.
const INT8_TOLERANCE: f32 = 1.0;
const INT8_MEAN_TOLERANCE: f32 = 0.25;

#[test]
fn the_model_is_the_one_the_reference_was_computed_with() {
    let Some(model) = model(Quantization::None) else {
        return;
    };
    assert_eq!(model.manifest().source.sha256, reference().source_sha256);
    model.verify().expect("the cached import is undamaged");
}

#[test]
fn conversations_become_the_same_prompts_and_tokens() {
    let Some(model) = model(Quantization::Int8) else {
        return;
    };
    let tokenizer = Tokenizer::load(&model.tokenizer()).expect("a tokenizer");
    let source = model.manifest().chat_template.clone().expect("a template");
    let template =
        ChatTemplate::new(&source, String::new(), String::new()).expect("a valid template");
    for case in reference().cases {
        let prompt = template.render(&case.messages(), &[]).expect("a prompt");
        assert_eq!(prompt, case.prompt, "{}", case.name);
        assert_eq!(
            tokenizer.encode(&prompt).expect("tokens"),
            case.tokens,
            "{}",
            case.name
        );
    }
}

#[test]
fn logits_in_int8_are_near_the_reference() {
    let Some(model) = model(Quantization::Int8) else {
        return;
    };
    let mut decoder = decoder(&model);
    let mut all = Vec::new();
    for case in reference().cases {
        decoder.start(case.tokens.len()).expect("room");
        let errors = errors(&case, decoder.forward(&case.tokens).expect("logits"));
        let largest = errors.iter().copied().fold(0.0, f32::max);
        println!("{}: {largest}", case.name);
        assert!(largest < INT8_TOLERANCE, "{}: {largest}", case.name);
        all.extend(errors);
    }
    let mean =
        all.iter().sum::<f32>() / f32::from(u16::try_from(all.len()).expect("a few hundred"));
    println!("mean: {mean}");
    assert!(mean < INT8_MEAN_TOLERANCE, "{mean}");
}

#[test]
fn logits_and_greedy_answers_in_floats_are_those_of_the_reference() {
    let Some(model) = model(Quantization::None) else {
        return;
    };
    let mut decoder = decoder(&model);
    let cases = reference().cases;
    assert!(cases.len() >= 20);
    let (count, mut different) = (cases.len(), Vec::new());
    for case in cases {
        decoder
            .start(case.tokens.len() + case.answer.len())
            .expect("room");
        let logits = decoder.forward(&case.tokens).expect("logits");
        let largest = errors(&case, logits).into_iter().fold(0.0, f32::max);
        assert!(largest < tolerance(), "{}: {largest}", case.name);
        let mut next = argmax(logits);
        let mut answer = vec![next];
        while answer.len() < case.answer.len() {
            next = argmax(decoder.forward(&[next]).expect("logits"));
            answer.push(next);
        }
        if answer != case.answer {
            different.push(case.name);
        }
    }
    assert_few(&different, count);
}

#[test]
fn greedy_answers_to_short_questions_are_those_of_the_reference() {
    let Some(model) = model(Quantization::None) else {
        return;
    };
    let tokenizer = Tokenizer::load(&model.tokenizer()).expect("a tokenizer");
    let source = model.manifest().chat_template.clone().expect("a template");
    let template =
        ChatTemplate::new(&source, String::new(), String::new()).expect("a valid template");
    let mut decoder = decoder(&model);
    let cases = short_reference();
    assert!(cases.len() + reference().cases.len() >= 100);
    let (count, mut different) = (cases.len(), Vec::new());
    for (question, expected) in cases {
        let message = Message {
            role: "user".to_owned(),
            content: question.clone(),
            ..Message::default()
        };
        let prompt = template.render(&[message], &[]).expect("a prompt");
        let tokens = tokenizer.encode(&prompt).expect("tokens");
        decoder.start(tokens.len() + expected.len()).expect("room");
        let mut answer = vec![argmax(decoder.forward(&tokens).expect("logits"))];
        while answer.len() < expected.len() {
            let last = *answer.last().expect("not empty");
            answer.push(argmax(decoder.forward(&[last]).expect("logits")));
        }
        if answer != expected {
            different.push(question);
        }
    }
    assert_few(&different, count);
}

/// In 16 bits, two words that are nearly as likely may change places. Otherwise none do.
fn assert_few(different: &[String], count: usize) {
    let allowed = if is_on_cpu() { 0 } else { count / 4 };
    assert!(different.len() <= allowed, "{different:?}");
}

fn tolerance() -> f32 {
    if is_on_cpu() {
        FLOAT_TOLERANCE
    } else {
        HALF_TOLERANCE
    }
}

#[test]
fn a_prompt_in_pieces_gives_the_same_logits_as_in_one() {
    let Some(model) = model(Quantization::None) else {
        return;
    };
    let mut decoder = decoder(&model);
    let case = reference().cases.pop().expect("a long case");
    decoder.start(case.tokens.len()).expect("room");
    let whole = decoder.forward(&case.tokens).expect("logits").to_vec();
    decoder.start(case.tokens.len()).expect("room");
    let mut pieces = Vec::new();
    for piece in case.tokens.chunks(100) {
        pieces = decoder.forward(piece).expect("logits").to_vec();
    }
    let largest = whole
        .iter()
        .zip(&pieces)
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max);
    assert!(largest < tolerance(), "{largest}");
}

/// How far the logits are from the reference: those of its likeliest tokens, and the normalization of them all.
fn errors(case: &Case, logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let logsumexp = largest
        + logits
            .iter()
            .map(|logit| (logit - largest).exp())
            .sum::<f32>()
            .ln();
    let mut errors: Vec<f32> = case
        .logits
        .top
        .iter()
        .map(|&(token, expected)| (logits[token as usize] - expected).abs())
        .collect();
    errors.push((logsumexp - case.logits.logsumexp).abs());
    errors
}

fn argmax(logits: &[f32]) -> u32 {
    let larger_or_first =
        |best: (u32, f32), next: (u32, f32)| if next.1 > best.1 { next } else { best };
    let numbered = (0_u32..).zip(logits.iter().copied());
    numbered.reduce(larger_or_first).expect("a vocabulary").0
}
