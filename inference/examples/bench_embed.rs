//! Measures an embedder: sentences a second for 1, 8 and 32 clients, each of which sends one sentence after the other, as
//! JSON on one line.
//!
//! `bench_embed DIRECTORY TEXT [THREADS]`, with `ORT_DYLIB_PATH` set. TEXT is a file whose words make the sentences;
//! a thread count of 0, the default, is all. `bench/onnxruntime_embed.py` measures the same sentences without us.

use std::{
    fs,
    io::Write as _,
    num::NonZero,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use claw_inference::{
    Cancellation, Device, EmbedInput, EmbedRequest, EmbeddingModel, LoadOptions, runtime,
};

const SENTENCES: usize = 512;
const CLIENTS: [usize; 3] = [1, 8, 32];
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const USAGE: &str = "usage: bench_embed DIRECTORY TEXT [THREADS]";
    let mut arguments = std::env::args_os().skip(1);
    let directory: PathBuf = arguments.next().ok_or(USAGE)?.into();
    let text: PathBuf = arguments.next().ok_or(USAGE)?.into();
    let threads = arguments
        .next()
        .map_or(Ok(0), |text| text.to_string_lossy().parse())?;
    runtime::init(None)?;
    let options = LoadOptions {
        device: Device::Cpu,
        threads: NonZero::new(threads),
        ..LoadOptions::default()
    };
    let start = Instant::now();
    let model = EmbeddingModel::load(&directory, options)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let sentences = sentences(&fs::read_to_string(&text)?);
    let mut rates = serde_json::Map::new();
    for clients in CLIENTS {
        let mut seen: Vec<f64> = (0..ROUNDS)
            .map(|_| rate(&model, &sentences, clients))
            .collect::<Result<_, _>>()?;
        seen.sort_by(f64::total_cmp);
        rates.insert(clients.to_string(), seen[ROUNDS / 2].into());
    }
    let report = serde_json::json!({
        "engine": "claw-inference",
        "threads": threads,
        "load_seconds": load_seconds,
        "sentences_per_second": rates,
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// Pieces of 4 to 60 words.
fn sentences(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let sentence = |index: usize| {
        let (start, length) = (index * 131, 4 + index * 7919 % 57);
        let words: Vec<&str> = (start..start + length)
            .map(|at| words[at % words.len()])
            .collect();
        words.join(" ")
    };
    (0..SENTENCES).map(sentence).collect()
}

#[expect(clippy::cast_precision_loss, reason = "some hundred sentences")]
fn rate(
    model: &EmbeddingModel,
    sentences: &[String],
    clients: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let start = Instant::now();
    thread::scope(|scope| {
        for client in 0..clients {
            let (next, failure) = (&next, &failure);
            scope.spawn(move || {
                while let Some(sentence) = sentences.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = embed(model, client, sentence) {
                        *failure.lock().expect("nobody panics") = Some(error);
                        return;
                    }
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    match failure.into_inner()? {
        Some(error) => Err(error.into()),
        None => Ok(sentences.len() as f64 / seconds),
    }
}

fn embed(model: &EmbeddingModel, client: usize, sentence: &str) -> Result<(), String> {
    let (sender, outcome) = mpsc::channel();
    let request = EmbedRequest {
        inputs: vec![EmbedInput::Text(sentence.to_owned())],
        dimensions: None,
        caller: client.to_string().into(),
        cancellation: Cancellation::default(),
    };
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    model
        .submit(request, done)
        .map_err(|error| error.to_string())?;
    let outcome = outcome.recv().map_err(|error| error.to_string())?;
    outcome.map(drop).map_err(|error| error.to_string())
}
