//! What the operator was started with and every gateway gets.

/// The images of the gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// For the CPU.
    pub image: String,
    /// With the CUDA libraries.
    pub cuda_image: String,
}
