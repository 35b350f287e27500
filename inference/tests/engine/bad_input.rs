//! Files that must be refused: with a clear reason, and without leaving anything behind.

use std::error::Error;

use claw_inference::{Quantization, import::import_model};
use rstest::rstest;

use crate::{
    gguf_writer::{GgufWriter, Tensor, Value},
    tiny_llama::{Workspace, tiny_llama},
};

/// The whole chain of causes.
fn refusal(content: &[u8], quantization: Quantization) -> String {
    let workspace = Workspace::new(content);
    let error = import_model(
        &workspace.source(),
        &workspace.target(),
        quantization,
        &mut |_| {},
    )
    .expect_err("the file is refused");
    assert!(
        workspace.leftovers().is_empty(),
        "{:?}",
        workspace.leftovers()
    );
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        message = format!("{message}: {current}");
        cause = current.source();
    }
    message
}

fn changed(change: impl FnOnce(&mut GgufWriter)) -> Vec<u8> {
    let mut file = tiny_llama();
    change(&mut file);
    file.to_bytes()
}

#[rstest]
#[case::architecture(|f: &mut GgufWriter| f.set("general.architecture", "mamba"), "the architecture \"mamba\" is not supported")]
#[case::no_architecture(|f: &mut GgufWriter| f.remove("general.architecture"), "the metadata key general.architecture is missing")]
#[case::tokenizer(|f: &mut GgufWriter| f.set("tokenizer.ggml.model", "t5"), "the tokenizer model \"t5\" is not supported")]
#[case::pre_tokenizer(|f: &mut GgufWriter| f.set("tokenizer.ggml.pre", "falcon"), "the pre-tokenizer \"falcon\" is not supported; supported are gpt-2, smollm")]
#[case::no_scores(|f: &mut GgufWriter| f.set("tokenizer.ggml.model", "llama"), "the metadata key tokenizer.ggml.scores is missing")]
#[case::window(|f: &mut GgufWriter| f.set("llama.attention.sliding_window", 64), "a sliding attention window (llama.attention.sliding_window = 64)")]
#[case::heads(|f: &mut GgufWriter| f.set("llama.attention.head_count_kv", 3), "llama.attention.head_count_kv is 3, which is not possible: it must divide the number of query heads")]
#[case::no_layers(|f: &mut GgufWriter| f.set("llama.block_count", 0), "llama.block_count is 0, which is not possible")]
#[case::experts(|f: &mut GgufWriter| f.set("llama.expert_count", 8), "a mixture of experts (llama.expert_count = 8)")]
#[case::scaled_rope(|f: &mut GgufWriter| f.set("llama.rope.scaling.type", "yarn"), "a scaled rotary embedding")]
#[case::partial_rope(|f: &mut GgufWriter| f.set("llama.rope.dimension_count", 8), "llama.rope.dimension_count = 8")]
#[case::wrong_type(|f: &mut GgufWriter| f.set("llama.block_count", "two"), "llama.block_count holds a text")]
#[case::eos(|f: &mut GgufWriter| f.set("tokenizer.ggml.eos_token_id", 9999), "tokenizer.ggml.eos_token_id is 9999, and the vocabulary has 260 tokens")]
#[case::no_eos(|f: &mut GgufWriter| f.remove("tokenizer.ggml.eos_token_id"), "tokenizer.ggml.eos_token_id is missing")]
#[case::merge(|f: &mut GgufWriter| f.set("tokenizer.ggml.merges", Value::Texts(vec!["he".to_owned()])), "entry 0 of tokenizer.ggml.merges")]
#[case::unknown_merge(|f: &mut GgufWriter| f.set("tokenizer.ggml.merges", Value::Texts(vec!["x y".to_owned()])), "the tokenizer's description is contradictory")]
fn what_we_cannot_run_is_refused_by_name(
    #[case] change: fn(&mut GgufWriter),
    #[case] expected: &str,
) {
    let message = refusal(&changed(change), Quantization::None);
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("model.gguf"), "{message}");
}

#[test]
fn a_tensor_in_an_unknown_encoding_is_named() {
    let message = refusal(
        &changed(|file| file.tensor("blk.1.ffn_up.weight").kind = 15),
        Quantization::None,
    );
    assert!(
        message.contains("tensor blk.1.ffn_up.weight has the type Q8_K, which is not supported"),
        "{message}"
    );
}

#[test]
fn a_missing_tensor_is_named() {
    let message = refusal(
        &changed(|file| {
            file.tensors
                .retain(|tensor| tensor.name != "blk.1.attn_v.weight");
        }),
        Quantization::None,
    );
    assert!(
        message.contains("the tensor blk.1.attn_v.weight is missing"),
        "{message}"
    );
}

#[test]
fn a_tensor_that_the_graph_would_leave_out_is_named() {
    let scale = Tensor {
        name: "blk.0.attn_q.scale".to_owned(),
        dimensions: vec![64],
        kind: 0,
        data: vec![0; 256],
    };
    let message = refusal(
        &changed(|file| file.tensors.push(scale)),
        Quantization::None,
    );
    assert!(message.contains("blk.0.attn_q.scale"), "{message}");
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let message = refusal(
        &changed(|file| file.tensor("blk.0.attn_output.weight").dimensions = vec![32, 128]),
        Quantization::None,
    );
    let expected =
        "blk.0.attn_output.weight has the dimensions [32, 128], where [64, 64] are expected";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn rows_that_int8_cannot_divide_name_the_remedy() {
    let message = refusal(
        &changed(|file| {
            file.set("llama.feed_forward_length", 80);
            for layer in 0..2 {
                for (name, dimensions) in [("gate", [80, 64]), ("up", [80, 64]), ("down", [64, 80])]
                {
                    let tensor = file.tensor(&format!("blk.{layer}.ffn_{name}.weight"));
                    tensor.dimensions = dimensions.to_vec();
                    tensor.kind = 0;
                    tensor.data = vec![0; 80 * 64 * 4];
                }
            }
        }),
        Quantization::Int8,
    );
    assert!(
        message.contains("blk.0.ffn_down.weight has rows of 80 values"),
        "{message}"
    );
    assert!(
        message.contains("import with quantization None"),
        "{message}"
    );
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let content = tiny_llama().to_bytes();
    for length in (0..content.len()).step_by(997).chain([content.len() - 1]) {
        let message = refusal(&content[..length], Quantization::None);
        let names_the_damage =
            message.contains("truncated or corrupt") || message.contains("not a GGUF file");
        assert!(names_the_damage, "{length} bytes: {message}");
    }
}

#[test]
fn a_file_with_a_flipped_byte_in_its_header_never_panics() {
    let content = tiny_llama().to_bytes();
    for place in (0..6000).step_by(13) {
        let mut content = content.clone();
        content[place] ^= 0x81;
        let workspace = Workspace::new(&content);
        // Some changes are harmless, such as one in a token's text; what counts is that the call returns.
        let result = import_model(
            &workspace.source(),
            &workspace.target(),
            Quantization::None,
            &mut |_| {},
        );
        assert_eq!(result.is_ok(), workspace.target().exists());
    }
}
