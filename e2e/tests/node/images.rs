//! The images under test, as `cargo xtask test node` names them: `<image name>=<archive>`.

use std::path::PathBuf;

use claw_e2e::node::Image;

pub(crate) const OPERATOR_VARIABLE: &str = "CLAW_IMAGE_OPERATOR";
/// As it is shipped, with the model of `examples/` below /models.
pub(crate) const GATEWAY_VARIABLE: &str = "CLAW_IMAGE_GATEWAY";
/// Python with the official OpenAI client.
pub(crate) const CLIENT_VARIABLE: &str = "CLAW_IMAGE_CLIENT";

pub(crate) fn image(variable: &str) -> Image {
    let given = std::env::var(variable).unwrap_or_default();
    let (name, archive) = given
        .split_once('=')
        .unwrap_or_else(|| unreachable!("{variable} is not set: run `cargo xtask test node`"));
    Image {
        name: name.to_owned(),
        archive: PathBuf::from(archive),
    }
}
