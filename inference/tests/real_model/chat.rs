//! The whole engine with a real model: conversations in, streamed text out.

use std::{num::NonZero, ops::ControlFlow, sync::mpsc, time::Duration};

use claw_inference::{
    ChatModel, ChatRequest, Event, FinishReason, LoadOptions, Message, Quantization, SubmitError,
    Usage,
};

use crate::device::device;
use crate::fixture::model;

pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn load(quantization: Quantization, options: LoadOptions) -> Option<ChatModel> {
    let model = model(quantization)?;
    Some(ChatModel::load(model.path(), options).expect("the model loads"))
}

pub(crate) fn here() -> LoadOptions {
    LoadOptions {
        device: device(),
        ..LoadOptions::default()
    }
}

pub(crate) fn ask(content: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::new("user", content)],
        temperature: Some(0.0),
        max_tokens: Some(60),
        ..ChatRequest::default()
    }
}

pub(crate) fn submit(model: &ChatModel, request: ChatRequest) -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel();
    let send = move |event| {
        if sender.send(event).is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    model.submit(request, Box::new(send)).expect("accepted");
    events
}

pub(crate) fn answer(model: &ChatModel, request: ChatRequest) -> (String, FinishReason, Usage) {
    let events = submit(model, request);
    let mut text = String::new();
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            Event::Started { .. } | Event::ToolCall(_) | Event::LogProbabilities(_) => {}
            Event::Text(piece) => text.push_str(&piece),
            Event::Finished { reason, usage } => return (text, reason, usage),
            Event::Failed(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_question_is_answered_with_sense_up_to_its_end_a_stop_string_or_the_limit() {
    let Some(model) = load(Quantization::None, here()) else {
        return;
    };
    assert_eq!(model.info().device, device().to_string());
    let question = ask("What is the capital of France?");
    let (text, reason, usage) = answer(&model, question.clone());
    assert_eq!(
        (text.as_str(), reason),
        ("The capital of France is Paris.", FinishReason::Stop)
    );
    assert_eq!(
        usage,
        Usage {
            prompt_tokens: 37,
            cached_tokens: 0,
            completion_tokens: 8
        }
    );
    let (text, reason, _) = answer(
        &model,
        ChatRequest {
            stop: vec!["ance is".to_owned()],
            ..question.clone()
        },
    );
    assert_eq!(
        (text.as_str(), reason),
        ("The capital of Fr", FinishReason::Stop)
    );
    let (text, reason, usage) = answer(
        &model,
        ChatRequest {
            max_tokens: Some(3),
            ..question
        },
    );
    assert_eq!(
        (text.as_str(), reason),
        ("The capital of", FinishReason::Length)
    );
    assert_eq!(usage.completion_tokens, 3);
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let Some(model) = load(Quantization::Int8, here()) else {
        return;
    };
    let request = |seed| ChatRequest {
        temperature: Some(1.2),
        top_p: Some(0.95),
        seed: Some(seed),
        max_tokens: Some(16),
        ..ask("Tell me a story.")
    };
    let (first, again, other) = (
        answer(&model, request(1)).0,
        answer(&model, request(1)).0,
        answer(&model, request(2)).0,
    );
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn a_conversation_beyond_the_context_is_refused_and_one_near_it_is_cut() {
    let Some(model) = load(
        Quantization::Int8,
        LoadOptions {
            context_length: Some(48),
            ..here()
        },
    ) else {
        return;
    };
    let error = model
        .submit(
            ask(&"word ".repeat(60)),
            Box::new(|_| ControlFlow::Continue(())),
        )
        .expect_err("too long");
    assert!(
        matches!(
            error,
            SubmitError::PromptTooLong {
                context_length: 48,
                prompt_tokens: 60..
            }
        ),
        "{error}"
    );
    let (_, reason, usage) = answer(&model, ask("Tell me a long story."));
    assert_eq!(reason, FinishReason::Length);
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, 48);
}

#[test]
fn a_client_that_leaves_makes_room_for_the_next() {
    let Some(model) = load(
        Quantization::Int8,
        LoadOptions {
            queue_capacity: NonZero::<usize>::MIN,
            active: NonZero::<usize>::MIN,
            ..here()
        },
    ) else {
        return;
    };
    let long = ChatRequest {
        max_tokens: None,
        temperature: Some(1.5),
        ..ask("Write a very long novel.")
    };
    let running = submit(&model, long.clone());
    assert!(matches!(
        running.recv_timeout(PATIENCE),
        Ok(Event::Started { .. })
    ));
    let waiting = submit(&model, ask("What is the capital of France?"));
    let refused = model.submit(long, Box::new(|_| ControlFlow::Continue(())));
    assert!(matches!(
        refused,
        Err(SubmitError::QueueFull { waiting: 1, .. })
    ));
    drop(running);
    assert!(matches!(
        waiting.recv_timeout(PATIENCE),
        Ok(Event::Started {
            prompt_tokens: 37,
            ..
        })
    ));
}
