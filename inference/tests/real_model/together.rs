//! Answers together, from kept prompts and by guesses: the same as each alone, computed from nothing.

use std::{num::NonZero, ops::ControlFlow, sync::mpsc, time::Duration};

use claw_inference::{ChatModel, ChatRequest, Event, LoadOptions, Message, Quantization, Usage};
use rstest::rstest;

use crate::device::{device, is_on_cpu};
use crate::fixture::{decoder, model, reference};

const PATIENCE: Duration = Duration::from_mins(4);

/// One answer after another, nothing kept, nothing guessed.
fn plain() -> LoadOptions {
    LoadOptions {
        active: NonZero::<usize>::MIN,
        prefix_cache_bytes: 0,
        speculation: false,
        ..full()
    }
}

fn full() -> LoadOptions {
    LoadOptions {
        device: device(),
        ..LoadOptions::default()
    }
}

fn load(quantization: Quantization, options: LoadOptions) -> Option<ChatModel> {
    let model = model(quantization)?;
    Some(ChatModel::load(model.path(), options).expect("the model loads"))
}

fn ask(content: &str, max_tokens: u32) -> ChatRequest {
    let message = Message {
        role: "user".to_owned(),
        content: content.to_owned(),
        ..Message::default()
    };
    ChatRequest {
        messages: vec![message],
        temperature: Some(0.0),
        max_tokens: Some(max_tokens),
        ..ChatRequest::default()
    }
}

fn submit(model: &ChatModel, request: ChatRequest) -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel();
    let send = move |event| match sender.send(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    model.submit(request, Box::new(send)).expect("accepted");
    events
}

fn read(events: &mpsc::Receiver<Event>) -> (String, Usage) {
    let mut text = String::new();
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            Event::Started { .. } | Event::ToolCall(_) | Event::LogProbabilities(_) => {}
            Event::Text(piece) => text.push_str(&piece),
            Event::Finished { usage, .. } => return (text, usage),
            Event::Failed(error) => panic!("{error:?}"),
        }
    }
}

fn answers(model: &ChatModel, requests: &[ChatRequest]) -> Vec<String> {
    let all: Vec<_> = requests
        .iter()
        .map(|request| submit(model, request.clone()))
        .collect();
    all.iter().map(|events| read(events).0).collect()
}

/// Different lengths, by chance and by the likeliest token.
fn requests() -> Vec<ChatRequest> {
    let questions = [
        "What is the capital of France?",
        "Tell me a story about a fox, a crow and a piece of cheese, and what the crow learnt.",
        "List three colours.",
        "Why is the sky blue?",
        "Write a poem about the sea in winter, with waves, wind, gulls and an old boat on the beach.",
        "Count from one to ten.",
    ];
    let request = |(number, question): (usize, &&str)| ChatRequest {
        temperature: Some(if number % 2 == 0 { 0.0 } else { 0.9 }),
        seed: Some(number as u64),
        ..ask(question, 24 + 4 * u32::try_from(number).expect("small"))
    };
    questions.iter().enumerate().map(request).collect()
}

#[rstest]
#[case::floats(Quantization::None)]
#[case::int8(Quantization::Int8)]
fn seeded_answers_are_the_same_together_and_alone(#[case] quantization: Quantization) {
    let (Some(alone), Some(together)) = (load(quantization, plain()), load(quantization, full()))
    else {
        return;
    };
    if !is_on_cpu() {
        return;
    }
    let requests = requests();
    let expected = answers(&alone, &requests);
    assert_eq!(answers(&together, &requests), expected);
    // Again, with all prompts kept.
    assert_eq!(answers(&together, &requests), expected);
    assert!(together.stats().prefix_hits > 0);
}

#[rstest]
#[case::floats(Quantization::None)]
#[case::int8(Quantization::Int8)]
fn a_prompt_in_pieces_gives_the_same_bits_as_in_one(#[case] quantization: Quantization) {
    let Some(model) = model(quantization) else {
        return;
    };
    if !is_on_cpu() {
        return;
    }
    let mut decoder = decoder(&model);
    let case = reference().cases.pop().expect("a long case");
    let tokens = &case.tokens;
    assert!(tokens.len() > 300, "{}", tokens.len());
    decoder.start(tokens.len()).expect("room");
    let whole = decoder.forward(tokens).expect("logits").to_vec();
    for length in [32, 64, 96, 160] {
        // Another capacity, too.
        decoder.start(tokens.len() * 3).expect("room");
        let mut pieces = Vec::new();
        for piece in tokens.chunks(length) {
            assert!(piece.len() > 1, "no piece of {length} is a single token");
            pieces = decoder.forward(piece).expect("logits").to_vec();
        }
        assert_eq!(bits(&pieces), bits(&whole), "pieces of {length}");
    }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

#[rstest]
#[case::floats(Quantization::None)]
#[case::int8(Quantization::Int8)]
fn a_kept_prompt_is_told_in_the_usage_and_changes_nothing(#[case] quantization: Quantization) {
    let Some(model) = load(quantization, full()) else {
        return;
    };
    let notes =
        "The meeting is on Monday at nine. Bring the report, the list of members and some coffee. "
            .repeat(6);
    let request = |question: &str| ChatRequest {
        seed: is_on_cpu().then_some(1),
        ..ask(&format!("{notes}\n{question}"), 16)
    };
    let (first, cold) = read(&submit(&model, request("When is the meeting?")));
    let (again, warm) = read(&submit(&model, request("When is the meeting?")));
    assert_eq!(again, first);
    assert_eq!(cold.cached_tokens, 0);
    assert!(warm.cached_tokens + 34 > warm.prompt_tokens, "{warm:?}");
    let (_, other) = read(&submit(&model, request("What is to be brought?")));
    assert!(other.cached_tokens >= 64, "{other:?}");
    let stats = model.stats();
    assert_eq!((stats.prefix_lookups, stats.prefix_hits), (3, 2));
    assert!(stats.prefix_bytes > 0);
}

#[rstest]
#[case::floats(Quantization::None)]
#[case::int8(Quantization::Int8)]
fn guesses_change_the_speed_and_not_the_text(#[case] quantization: Quantization) {
    let (Some(plain), Some(full)) = (load(quantization, plain()), load(quantization, full()))
    else {
        return;
    };
    let text = "The lighthouse on the northern shore was built in 1871 by a company of forty masons. \
        Its lamp burns two litres of oil in an hour and can be seen from a distance of thirty kilometres.";
    let by_chance = is_on_cpu().then_some((0.7, Some(5)));
    for (temperature, seed) in [(0.0, None)].into_iter().chain(by_chance) {
        let request = ChatRequest {
            temperature: Some(temperature),
            seed,
            ..ask(
                &format!("Repeat the following text word by word.\n\n{text}"),
                60,
            )
        };
        let (expected, _) = read(&submit(&plain, request.clone()));
        let (guessed, _) = read(&submit(&full, request));
        // On a GPU a longer run may round another way where two words are as likely.
        if is_on_cpu() {
            assert_eq!(guessed, expected);
        }
    }
    let stats = full.stats();
    assert!(stats.accepted_tokens > 20, "{stats:?}");
    assert_eq!(plain.stats().guessed_tokens, 0);
}
