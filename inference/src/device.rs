//! Where a model runs.

use std::fmt;

/// The wanted device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// A GPU where one works, the CPU otherwise; the reason is told.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU; loading fails where none works.
    Cuda,
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "Auto",
            Self::Cpu => "Cpu",
            Self::Cuda => "Cuda",
        })
    }
}
