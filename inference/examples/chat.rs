//! Imports a GGUF file where needed, and answers one question on the terminal.
//!
//! `chat MODEL.gguf DIRECTORY None|Int8 QUESTION`, with `ORT_DYLIB_PATH` set.

use std::{io::Write as _, ops::ControlFlow, path::Path, sync::mpsc};

use claw_inference::{
    ChatModel, ChatRequest, Event, LoadOptions, Message, Quantization, import::import_model,
    runtime,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, directory, quantization, question] = arguments.as_slice() else {
        return Err("usage: chat MODEL.gguf DIRECTORY None|Int8 QUESTION".into());
    };
    let quantization = match quantization.as_str() {
        "None" => Quantization::None,
        "Int8" => Quantization::Int8,
        other => return Err(format!("unknown quantization {other:?}: use None or Int8").into()),
    };
    runtime::init(None)?;
    let directory = Path::new(directory);
    if !directory.exists() {
        import_model(Path::new(source), directory, quantization, &mut |_| {})?;
    }
    let model = ChatModel::load(directory, LoadOptions::default())?;
    let (sender, events) = mpsc::channel();
    let request = ChatRequest {
        messages: vec![Message::new("user", question)],
        max_tokens: Some(200),
        temperature: Some(0.0),
        ..ChatRequest::default()
    };
    let send = move |event| {
        if sender.send(event).is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    model.submit(request, Box::new(send))?;
    let mut terminal = std::io::stdout();
    for event in events {
        match event {
            Event::Started { .. } | Event::ToolCall(_) | Event::LogProbabilities(_) => {}
            Event::Text(text) => write!(terminal, "{text}")?,
            Event::Finished { reason, usage } => writeln!(terminal, "\n[{reason:?}, {usage:?}]")?,
            Event::Failed(error) => return Err(error.into()),
        }
        terminal.flush()?;
    }
    Ok(())
}
