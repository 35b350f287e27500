//! Real Kubernetes for tests: a control plane on loopback ports without root, or a whole node as root.
//!
//! [`Tools`] finds or builds the programs, [`ControlPlane`] runs them, [`Cluster`] is the control plane or a
//! cluster that exists already; [`Node`] runs containers, too. `cargo xtask demo --cluster` uses the same parts as the tests in `tests/e2e`.

pub mod cluster;
pub mod control_plane;
pub mod definitions;
pub mod kubectl;
pub mod node;
pub mod process;
pub mod service_account;
pub mod testing;
pub mod tools;
pub mod wait;

pub use cluster::Cluster;
pub use control_plane::ControlPlane;
pub use kubectl::Kubectl;
pub use node::Node;
pub use process::ChildProcess;
pub use tools::Tools;
