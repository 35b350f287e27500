//! Import and generation with a tiny model of random weights, made here.
//!
//! The tests that run it need `ORT_DYLIB_PATH`; without it they say so and pass, unless `CLAW_TEST_REQUIRE_MODEL` is 1.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "tests end by panicking, and say why they are skipped"
)]

#[path = "../common/device.rs"]
mod device;

mod bad_directory;
mod bad_input;
mod families;
mod family_model;
mod generation;
mod gguf_writer;
mod import;
mod tiny_llama;
mod tokenizers;
