//! What is no ONNX Runtime. A process of its own, since a process loads the library once.

use claw_inference::runtime;

#[test]
fn a_file_that_is_no_library_says_what_is_needed() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let message = runtime::init(Some(file.path()))
        .expect_err("empty file")
        .to_string();
    assert!(message.contains("version 1.31 or newer"), "{message}");
}
