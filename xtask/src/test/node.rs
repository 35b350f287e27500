//! The tests on a real node, with the images that are built here.

use claw_e2e::node;

use crate::{command, images::local};

/// Build the images, then run the tests, or those whose name contains `filter`.
pub(crate) fn run(filter: Option<&str>) -> anyhow::Result<()> {
    node::ensure_packages(&mut |line| println!("  {line}"))?;
    let images = local::build("dev")?;
    let for_tests = local::build_for_tests(&images.gateway)?;
    let value = |image: &node::Image| format!("{}={}", image.name, image.archive.display());
    command::run(
        command::cargo()
            .args([
                "test",
                "--package",
                "claw-e2e",
                "--test",
                "node",
                "--locked",
                "--",
            ])
            .args(filter)
            .env("CLAW_IMAGE_OPERATOR", value(&images.operator))
            .env("CLAW_IMAGE_GATEWAY", value(&for_tests.gateway_with_model))
            .env("CLAW_IMAGE_CLIENT", value(&for_tests.client)),
    )
}
