//! Measures a model directory: load time, prefill and decode speed, as JSON on one line.
//!
//! `bench_decode DIRECTORY [THREADS]`, with `ORT_DYLIB_PATH` set. A thread count of 0, the default, is all.

use std::{io::Write as _, num::NonZero, path::PathBuf, time::Instant};

use claw_inference::{DecoderSession, Device, ModelDir, SessionOptions, most_likely, runtime};

const PROMPT: usize = 128;
const ANSWER: usize = 128;
const PREFILL: usize = 512;
const REPEATS: usize = 3;
const NOT_FINITE: &str = "the model computed no finite number";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory: PathBuf = arguments
        .next()
        .ok_or("usage: bench_decode DIRECTORY [THREADS]")?
        .into();
    let threads = arguments
        .next()
        .map_or(Ok(0), |text| text.to_string_lossy().parse())?;
    runtime::init(None)?;

    let start = Instant::now();
    let model = ModelDir::open(&directory)?;
    let options = SessionOptions {
        device: Device::Cpu,
        threads: NonZero::new(threads),
        context_length: model.manifest().architecture.context_length,
    };
    let mut decoder = DecoderSession::load(&model, options)?;
    decoder.start(1)?;
    decoder.forward(&[0])?;
    let load_seconds = start.elapsed().as_secs_f64();

    let mut best_prefill = 0.0_f64;
    let mut best_decode = 0.0_f64;
    for _ in 0..REPEATS {
        best_prefill = best_prefill.max(prefill(&mut decoder)?);
        best_decode = best_decode.max(decode(&mut decoder)?);
    }
    let report = serde_json::json!({
        "engine": "claw-inference",
        "quantization": model.manifest().quantization,
        "threads": threads,
        "load_seconds": load_seconds,
        "prefill_tokens_per_second": best_prefill,
        "decode_tokens_per_second": best_decode,
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// Tokens without a meaning: the time does not depend on it.
fn tokens(count: usize) -> Vec<u32> {
    (0..count)
        .map(|index| 100 + (u32::try_from(index).unwrap_or(0) * 7919) % 20_000)
        .collect()
}

fn prefill(decoder: &mut DecoderSession) -> Result<f64, Box<dyn std::error::Error>> {
    let tokens = tokens(PREFILL);
    decoder.start(PREFILL + 1)?;
    let start = Instant::now();
    decoder.forward(&tokens)?;
    Ok(rate(PREFILL, start))
}

fn decode(decoder: &mut DecoderSession) -> Result<f64, Box<dyn std::error::Error>> {
    decoder.start(PROMPT + ANSWER)?;
    let mut next = most_likely(decoder.forward(&tokens(PROMPT))?).ok_or(NOT_FINITE)?;
    let start = Instant::now();
    for _ in 0..ANSWER {
        next = most_likely(decoder.forward(&[next])?).ok_or(NOT_FINITE)?;
    }
    Ok(rate(ANSWER, start))
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred tokens")]
fn rate(tokens: usize, start: Instant) -> f64 {
    tokens as f64 / start.elapsed().as_secs_f64()
}
