//! What every cluster has: DNS and metrics.

use super::{
    Error, Node,
    image::{self, Image},
};
use crate::tools::Tool;

const MANIFEST: &str = include_str!("addons.yaml");

/// The images of `addons.yaml`.
pub(super) fn images(progress: &mut dyn FnMut(&str)) -> Result<[Image; 2], Error> {
    let tools = [Tool::Coredns, Tool::MetricsServer];
    let [dns, metrics] = Tool::find_or_build_all(tools, progress).map_err(Error::Tools)?;
    Ok([
        image::of_program(&dns, "localhost/claw-node/coredns:1")?,
        image::of_program(&metrics, "localhost/claw-node/metrics-server:1")?,
    ])
}

/// Install them, and wait until they serve.
pub(super) async fn install(node: &Node, images: &[Image]) -> Result<(), Error> {
    for image in images {
        node.load(&image.archive).await?;
    }
    let kubectl = node.kubectl().in_namespace("kube-system");
    kubectl.apply(MANIFEST).await.map_err(Error::Kubectl)?;
    for deployment in ["deployment/coredns", "deployment/metrics-server"] {
        let wait = ["rollout", "status", "--timeout=180s", deployment];
        kubectl.run(wait).await.map_err(Error::Kubectl)?;
    }
    Ok(())
}
