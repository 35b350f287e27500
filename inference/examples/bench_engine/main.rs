//! Measures the whole engine with a model directory: clients, prompts and answers, as JSON on one line.
//!
//! `bench_engine DIRECTORY [THREADS] [ROUNDS] [Cpu|Cuda]`, with `ORT_DYLIB_PATH` set. A thread count of 0, the default, is all.
//! Each round measures everything once; the figures are medians of the rounds, and ratios are medians of their ratios.

mod client;
mod memory;
mod scenarios;
mod text;

use std::{
    io::Write as _,
    num::NonZero,
    path::PathBuf,
    time::{Duration, Instant},
};

use claw_inference::{ChatModel, Device, LoadOptions, ModelDir, runtime, wait_for_models};
use serde_json::{Map, Value, json};

use client::Outcome;
use scenarios::Figures;

fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let directory = arguments
        .first()
        .ok_or("usage: bench_engine DIRECTORY [THREADS] [ROUNDS] [Cpu|Cuda]")?;
    let directory = PathBuf::from(directory);
    let number = |index: usize, default| {
        let text = arguments.get(index);
        text.map_or(Ok(default), |text| text.parse::<usize>())
    };
    let (threads, rounds) = (number(1, 0)?, number(2, 3)?);
    let device = match arguments.get(3).map(String::as_str) {
        None | Some("Cpu") => Device::Cpu,
        Some("Cuda") => Device::Cuda,
        Some(other) => return Err(format!("{other} is no device: choose Cpu or Cuda").into()),
    };
    runtime::init(None)?;

    let options = LoadOptions {
        device,
        threads: NonZero::new(threads),
        ..LoadOptions::default()
    };
    let start = Instant::now();
    let chat = ChatModel::load(&directory, options)?;
    let load_seconds = start.elapsed().as_secs_f64();
    client::ask(&chat, text::request(1, 8, 1, 0.0))?.wait()?;
    let first_token_seconds = start.elapsed().as_secs_f64();
    let model = ModelDir::open(&directory)?;
    let mut all: Vec<Figures> = Vec::new();
    for round in 0..rounds {
        let mut figures = scenarios::run(&chat, round)?;
        if device == Device::Cpu {
            let bandwidth = memory::read_bandwidth(threads);
            let decode = figures["decode_1_tokens_per_second"];
            let limit = bandwidth / memory::bytes_per_token(&model)?;
            figures.insert("read_gigabytes_per_second", bandwidth / 1e9);
            figures.insert("decode_1_physical_limit", limit);
            figures.insert("decode_1_of_limit", decode / limit);
        }
        writeln!(std::io::stderr(), "round {round}: {figures:.2?}")?;
        all.push(figures);
    }
    let mut report = Map::new();
    report.insert("engine".to_owned(), json!("claw-inference"));
    let quantization = json!(model.manifest().quantization);
    report.insert("quantization".to_owned(), quantization);
    report.insert("threads".to_owned(), json!(threads));
    report.insert("device".to_owned(), json!(device.to_string()));
    report.insert("rounds".to_owned(), json!(rounds));
    report.insert("load_seconds".to_owned(), json!(load_seconds));
    report.insert(
        "load_to_first_token_seconds".to_owned(),
        json!(first_token_seconds),
    );
    for name in all.first().into_iter().flat_map(Figures::keys) {
        let values = all.iter().map(|figures| figures[name]).collect();
        report.insert((*name).to_owned(), json!(client::quantile(values, 0.5)));
    }
    writeln!(std::io::stdout(), "{}", Value::Object(report))?;
    drop(chat);
    wait_for_models(Duration::from_secs(10));
    Ok(())
}
