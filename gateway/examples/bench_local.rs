//! What HTTP costs a model in the gateway: eight clients with the same questions to an engine in this process, and
//! through a gateway that has the same model, in turn. Prints one line of JSON.
//!
//! `bench_local DIRECTORY ADDRESS [--threads N] [--rounds N]`, with `ORT_DYLIB_PATH` set. The gateway at the address
//! lets everyone in, and its model is called `smollm2`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool: it reports on its standard output, and stops where something is wrong"
)]

use std::{
    net::SocketAddr,
    num::NonZero,
    ops::ControlFlow,
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};

use clap::Parser;
use claw_inference::{ChatModel, ChatRequest, Device, Event, LoadOptions, runtime};
use futures::StreamExt as _;
use serde_json::{Value, json};

const CLIENTS: usize = 8;
/// Of each client in a round, one after the other.
const QUESTIONS: usize = 2;
const PROMPT_WORDS: usize = 96;
const ANSWER_TOKENS: u32 = 128;

#[derive(Parser)]
struct Args {
    /// The imported model.
    directory: PathBuf,
    /// Where the gateway listens.
    address: SocketAddr,
    /// Of the engine in this process.
    #[arg(long, default_value_t = NonZero::<usize>::MIN)]
    threads: NonZero<usize>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() {
    let args = Args::parse();
    // Who made it does not matter: nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime::init(None).unwrap();
    let options = LoadOptions {
        device: Device::Cpu,
        threads: Some(args.threads),
        ..LoadOptions::default()
    };
    let model = ChatModel::load(&args.directory, options).unwrap();
    let gateway = Gateway::new(args.address);
    // Once each: the first questions pay for what is put off until it is needed.
    ask_engine(&model, 0);
    gateway.ask_all(0);
    let rounds = (1..=args.rounds).map(|round| {
        // Who goes first changes.
        if round % 2 == 0 {
            let engine = ask_engine(&model, round);
            json!([engine, gateway.ask_all(round)])
        } else {
            let http = gateway.ask_all(round);
            json!([ask_engine(&model, round), http])
        }
    });
    let rounds: Vec<Value> = rounds.collect();
    println!("{}", json!({"tokens_per_second": rounds}));
}

/// The same for both sides, and another one each time.
fn prompt(round: usize, client: usize, question: usize) -> String {
    const WORDS: [&str; 16] = [
        "river", "stone", "window", "garden", "music", "winter", "letter", "bridge", "market",
        "island", "doctor", "village", "engine", "summer", "paper", "silver",
    ];
    let mut state = ((round * CLIENTS + client) * QUESTIONS + question) as u64 + 1;
    let words = (0..PROMPT_WORDS).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 60) as usize]
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Tokens per second of all clients.
fn ask_engine(model: &ChatModel, round: usize) -> f64 {
    let start = Instant::now();
    let tokens: usize = std::thread::scope(|scope| {
        let client = |client: usize| {
            let one = move |question| ask_engine_once(model, prompt(round, client, question));
            move || (0..QUESTIONS).map(one).sum::<usize>()
        };
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(client(number)))
            .collect();
        let tokens = clients.into_iter().map(|client| client.join().unwrap());
        tokens.sum()
    });
    rate(tokens, start.elapsed())
}

fn ask_engine_once(model: &ChatModel, prompt: String) -> usize {
    let (sender, events) = mpsc::channel();
    let send = move |event| match sender.send(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let request = ChatRequest {
        prompt: Some(prompt),
        max_tokens: Some(ANSWER_TOKENS),
        temperature: Some(0.0),
        ..ChatRequest::default()
    };
    model.submit(request, Box::new(send)).unwrap();
    let finished = events.into_iter().find_map(|event| match event {
        Event::Finished { usage, .. } => Some(usage.completion_tokens),
        _ => None,
    });
    finished.unwrap()
}

struct Gateway {
    url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Gateway {
    fn new(address: SocketAddr) -> Self {
        Self {
            url: format!("http://{address}/v1/completions"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    /// Tokens per second of all clients.
    fn ask_all(&self, round: usize) -> f64 {
        let start = Instant::now();
        let clients = (0..CLIENTS).map(|client| async move {
            let mut tokens = 0;
            for question in 0..QUESTIONS {
                tokens += self.ask(prompt(round, client, question)).await;
            }
            tokens
        });
        let tokens = self.runtime.block_on(futures::future::join_all(clients));
        rate(tokens.into_iter().sum(), start.elapsed())
    }

    /// The whole answer, piece by piece.
    async fn ask(&self, prompt: String) -> usize {
        let body = json!({
            "model": "smollm2", "prompt": prompt, "max_tokens": ANSWER_TOKENS, "temperature": 0,
            "stream": true, "stream_options": {"include_usage": true},
        });
        let answer = self.client.post(&self.url).json(&body).send().await;
        let answer = answer.unwrap().error_for_status().unwrap();
        let mut pieces = answer.bytes_stream();
        let mut last = Vec::new();
        while let Some(piece) = pieces.next().await {
            last.extend_from_slice(&piece.unwrap());
            // Usage comes in the event before the last one.
            let kept = last.len().saturating_sub(1 << 10);
            last.drain(..kept);
        }
        let text = String::from_utf8_lossy(&last);
        let usage = text.lines().rev().find(|line| line.contains("\"usage\":{"));
        let event: Value = serde_json::from_str(&usage.unwrap()["data: ".len()..]).unwrap();
        usize::try_from(event["usage"]["completion_tokens"].as_u64().unwrap()).unwrap()
    }
}

#[expect(clippy::cast_precision_loss, reason = "some thousand tokens")]
fn rate(tokens: usize, took: Duration) -> f64 {
    tokens as f64 / took.as_secs_f64()
}
