//! Embedders and rerankers, compared with what transformers computes.
//!
//! The expected values come from `reference/encoders.py`. All tests need `ORT_DYLIB_PATH`, and those with a real model
//! `CLAW_TEST_MODELS`, a directory with `minilm`. Without them they say so and pass, unless `CLAW_TEST_REQUIRE_MODEL` is 1.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "tests end by panicking, and say why they are skipped"
)]

#[path = "../common/device.rs"]
mod device;

mod fixture;
mod minilm;
mod parity;
mod refusals;
mod seq2seq;
mod tiny_models;
