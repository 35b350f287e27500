//! What the operator was started with and every gateway gets.

/// The gateways' images, and what else is the same for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// For the CPU.
    pub image: String,
    /// With the CUDA libraries.
    pub cuda_image: String,
    /// Secrets with credentials for the registry of both, in each gateway's own namespace.
    pub image_pull_secrets: Vec<String>,
    /// Where alerts find their runbooks.
    pub runbook_base: String,
}
