//! A real model, compared with what others compute from the same file.
//!
//! The expected values come from `reference/generate.py`. The tests need `CLAW_TEST_MODELS`, a directory with
//! `smollm2.gguf`, and `ORT_DYLIB_PATH`. Without them they say so and pass, unless `CLAW_TEST_REQUIRE_MODEL` is 1.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "tests end by panicking, and say why they are skipped"
)]

#[path = "../common/device.rs"]
mod device;

mod adversaries;
mod chat;
mod exactness;
mod fixture;
mod forms;
mod options;
mod perplexity;
mod together;
mod tools;
