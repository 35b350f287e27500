//! `cargo xtask cluster`: the node that tests use, to try things on.

use claw_e2e::Node;

/// Start a node, say how to use it, and end it with Ctrl-C.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let node = Node::start(&mut |line| println!("  {line}")).await?;
        println!(
            "\nA cluster of one node is up. In another terminal:\n\n  export KUBECONFIG={}\n  kubectl get pods -A\n\n\
             Running until Ctrl-C.",
            node.kubeconfig().display()
        );
        tokio::signal::ctrl_c().await?;
        println!("\nending it");
        Ok(())
    })
}
