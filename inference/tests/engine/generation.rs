//! Loading and running a tiny model on ONNX Runtime.

use std::{
    error::Error as _,
    fs,
    num::NonZero,
    ops::ControlFlow,
    sync::{Arc, mpsc},
    time::Duration,
};

use claw_inference::{
    ChatModel, ChatRequest, DecoderSession, Device, Event, FinishReason, LoadError, LoadOptions,
    Message, ModelDir, Quantization, SessionError, SessionOptions, SubmitError,
};

use crate::device::{device, is_on_cpu};
use crate::tiny_llama::{CONTEXT, Workspace, has_runtime, imported, tiny_llama};

const PATIENCE: Duration = Duration::from_mins(1);

fn here() -> LoadOptions {
    LoadOptions {
        device: device(),
        threads: Some(NonZero::<usize>::MIN),
        ..LoadOptions::default()
    }
}

fn ask(content: &str) -> ChatRequest {
    let message = Message::new("user", content);
    ChatRequest {
        messages: vec![message],
        temperature: Some(0.0),
        max_tokens: Some(12),
        ..ChatRequest::default()
    }
}

fn submit(model: &ChatModel, request: ChatRequest) -> mpsc::Receiver<Event> {
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

fn answer(model: &ChatModel, request: ChatRequest) -> (String, FinishReason) {
    let events = submit(model, request);
    let mut text = String::new();
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            Event::Started { .. } | Event::ToolCall(_) | Event::LogProbabilities(_) => {}
            Event::Text(piece) => text.push_str(&piece),
            Event::Finished { reason, .. } => return (text, reason),
            Event::Failed(error) => panic!("{error:?}"),
        }
    }
}

fn decoder(model: &ModelDir) -> DecoderSession {
    let options = SessionOptions {
        device: device(),
        threads: Some(NonZero::<usize>::MIN),
        context_length: CONTEXT as usize,
    };
    DecoderSession::load(model, options).expect("loads")
}

fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_model_answers_and_answers_again_alike() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    let model = ChatModel::load(directory.path(), here()).expect("loads");
    assert_eq!(model.info().name, "tiny");
    assert_eq!(model.info().device, device().to_string());
    assert_eq!(model.info().device_reason, None);
    let first = answer(&model, ask("hello"));
    assert_eq!(answer(&model, ask("hello")), first);
    assert_eq!(first.1, FinishReason::Length);
}

#[test]
fn the_cache_gives_the_same_logits_as_computing_all_anew() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::None);
    let mut decoder = decoder(&directory);
    let tokens: Vec<u32> = (0..90).map(|index| index * 37 % 250).collect();
    decoder.start(tokens.len()).expect("room");
    let whole = decoder.forward(&tokens).expect("logits").to_vec();
    decoder.start(tokens.len()).expect("room");
    let mut stepwise = decoder.forward(&tokens[..70]).expect("logits").to_vec();
    for token in &tokens[70..] {
        stepwise = decoder
            .forward(std::slice::from_ref(token))
            .expect("logits")
            .to_vec();
    }
    let difference = largest_difference(&whole, &stepwise);
    let tolerance = if is_on_cpu() { 1e-3 } else { 2e-2 };
    assert!(difference < tolerance, "{difference}");
}

#[test]
fn int8_logits_are_near_those_in_floats() {
    if !has_runtime() {
        return;
    }
    let logits = |quantization| {
        let (_workspace, directory) = imported(quantization);
        let mut decoder = decoder(&directory);
        decoder.start(8).expect("room");
        decoder
            .forward(&[256, 104, 101, 108, 108, 111])
            .expect("logits")
            .to_vec()
    };
    let (floats, int8) = (logits(Quantization::None), logits(Quantization::Int8));
    let spread = largest_difference(&floats, &vec![0.0; floats.len()]);
    let difference = largest_difference(&floats, &int8);
    assert!(difference < spread * 0.1, "{difference} of {spread}");
}

#[test]
fn the_cache_is_never_overrun() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::None);
    let mut decoder = decoder(&directory);
    decoder.start(CONTEXT as usize).expect("room");
    decoder
        .forward(&vec![1; CONTEXT as usize])
        .expect("exactly full");
    let error = decoder.forward(&[1]).expect_err("one too many");
    assert!(
        matches!(
            error,
            SessionError::CacheFull {
                past: 256,
                tokens: 1,
                capacity: 256
            }
        ),
        "{error}"
    );
}

#[test]
fn chance_is_reproducible_and_depends_on_the_seed() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    let model = ChatModel::load(directory.path(), here()).expect("loads");
    let with_seed = |seed| {
        answer(
            &model,
            ChatRequest {
                temperature: Some(1.0),
                seed: Some(seed),
                ..ask("x")
            },
        )
        .0
    };
    assert_eq!(with_seed(3), with_seed(3));
    assert_ne!(with_seed(3), with_seed(4));
}

#[test]
fn many_clients_are_all_answered() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    let model = ChatModel::load(directory.path(), here()).expect("loads");
    let expected = answer(&model, ask("hello"));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| answer(&model.clone(), ask("hello"))))
            .collect();
        for client in clients {
            assert_eq!(client.join().expect("no panic"), expected);
        }
    });
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_numbers() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    let model = ChatModel::load(
        directory.path(),
        LoadOptions {
            context_length: Some(40),
            ..here()
        },
    )
    .expect("loads");
    let error = model
        .submit(
            ask(&"x".repeat(50)),
            Box::new(|_| ControlFlow::Continue(())),
        )
        .expect_err("too long");
    let SubmitError::PromptTooLong {
        prompt_tokens,
        context_length,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(context_length, 40);
    assert_eq!(
        prompt_tokens,
        model
            .count_tokens(&ask(&"x".repeat(50)).messages, &[])
            .expect("countable")
    );
}

#[test]
fn an_invalid_request_names_its_field() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    let model = ChatModel::load(directory.path(), here()).expect("loads");
    let request = ChatRequest {
        temperature: Some(7.0),
        ..ask("x")
    };
    let error = model
        .submit(request, Box::new(|_| ControlFlow::Continue(())))
        .expect_err("too hot");
    assert_eq!(
        error.to_string(),
        "temperature is 7, and must lie between 0 and 2"
    );
}

#[test]
fn a_closed_model_refuses_and_a_dropped_one_ends() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    let model = ChatModel::load(directory.path(), here()).expect("loads");
    let held = Arc::new(());
    let watched = Arc::downgrade(&held);
    let events = submit(&model, ask("x"));
    model
        .submit(
            ask("y"),
            Box::new(move |_| {
                let _ = &held;
                ControlFlow::Continue(())
            }),
        )
        .expect("accepted");
    model.close();
    assert!(matches!(
        model.submit(ask("z"), Box::new(|_| ControlFlow::Continue(()))),
        Err(SubmitError::Closed)
    ));
    // Whatever the first request had reached, its channel ends, and so does what the second one held.
    while events.recv_timeout(PATIENCE).is_ok() {}
    let deadline = std::time::Instant::now() + PATIENCE;
    while watched.upgrade().is_some() {
        assert!(
            std::time::Instant::now() < deadline,
            "the job is never dropped"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_when_demanded_and_a_reason_otherwise() {
    if !has_runtime() {
        return;
    }
    let (_workspace, directory) = imported(Quantization::Int8);
    match ChatModel::load(
        directory.path(),
        LoadOptions {
            device: Device::Cuda,
            ..here()
        },
    ) {
        // This machine has one.
        Ok(model) => assert_eq!(model.info().device, "Cuda"),
        Err(error) => {
            let reason = error.source().expect("a cause").to_string();
            assert!(reason.contains("choose the device Auto or Cpu"), "{reason}");
            let model = ChatModel::load(
                directory.path(),
                LoadOptions {
                    device: Device::Auto,
                    ..here()
                },
            )
            .expect("loads");
            assert_eq!(model.info().device, "Cpu");
            assert!(model.info().device_reason.is_some());
        }
    }
}

#[test]
fn a_context_longer_than_the_models_is_refused() {
    let (_workspace, directory) = imported(Quantization::Int8);
    let error = ChatModel::load(
        directory.path(),
        LoadOptions {
            context_length: Some(257),
            ..here()
        },
    )
    .expect_err("too long");
    assert_eq!(
        error.to_string(),
        "the context length 257 is not possible: choose 1 to 256"
    );
}

#[test]
fn memory_for_less_than_one_conversation_is_refused_with_what_is_needed() {
    let (_workspace, directory) = imported(Quantization::Int8);
    let error = ChatModel::load(
        directory.path(),
        LoadOptions {
            kv_cache_bytes: Some(100_000),
            ..here()
        },
    )
    .expect_err("too little");
    assert_eq!(
        error.to_string(),
        "100000 bytes of attention cache are too few: a conversation of 256 tokens takes 131072; allow more, or a shorter context"
    );
}

#[test]
fn a_model_without_a_chat_template_is_refused() {
    let mut file = tiny_llama();
    file.remove("tokenizer.chat_template");
    let workspace = Workspace::new(&file.to_bytes());
    let directory = workspace.import(Quantization::Int8);
    let error = ChatModel::load(directory.path(), here()).expect_err("no template");
    assert!(matches!(error, LoadError::NoChatTemplate { .. }), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_found_when_the_model_is_loaded() {
    if !has_runtime() {
        return;
    }
    let mut file = tiny_llama();
    file.tensor("output_norm.weight").data = f32::NAN.to_le_bytes().repeat(64);
    let workspace = Workspace::new(&file.to_bytes());
    let directory = workspace.import(Quantization::None);
    let error = ChatModel::load(directory.path(), here()).expect_err("no numbers");
    assert!(
        matches!(error, LoadError::Session(SessionError::NotFinite)),
        "{error:?}"
    );
}

#[test]
fn a_truncated_weights_file_is_found_before_it_is_loaded() {
    let (_workspace, directory) = imported(Quantization::Int8);
    let data = directory.path().join("model.onnx.data");
    let content = fs::read(&data).expect("a file");
    fs::write(&data, &content[..content.len() / 2]).expect("written");
    let error = ChatModel::load(directory.path(), here()).expect_err("truncated");
    let message = error.source().expect("a cause").to_string();
    assert!(
        message.contains("model.onnx.data has")
            && message.contains("import or download the model again"),
        "{message}"
    );
}
