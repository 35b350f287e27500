//! The sizing ladder and what overrides it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// How big each replica is.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    /// 2 CPU, 4Gi memory, 50Gi storage, 50 connections.
    #[default]
    Small,
    /// 4 CPU, 8Gi memory, 100Gi storage, 200 connections.
    Medium,
    /// 16 CPU, 64Gi memory, 500Gi storage, 1000 connections.
    Large,
}

/// What a size stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeDefaults {
    /// CPU cores.
    pub cpu: &'static str,
    /// Memory.
    pub memory: &'static str,
    /// Disk space for models.
    pub storage: &'static str,
    /// Open client connections per replica.
    pub max_connections: u32,
}

impl Size {
    /// The figures behind the name.
    pub const fn defaults(self) -> SizeDefaults {
        match self {
            Self::Small => SizeDefaults {
                cpu: "2",
                memory: "4Gi",
                storage: "50Gi",
                max_connections: 50,
            },
            Self::Medium => SizeDefaults {
                cpu: "4",
                memory: "8Gi",
                storage: "100Gi",
                max_connections: 200,
            },
            Self::Large => SizeDefaults {
                cpu: "16",
                memory: "64Gi",
                storage: "500Gi",
                max_connections: 1000,
            },
        }
    }
}

/// CPU and memory of each replica. The scheduler reserves both; memory is also the limit.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU cores, e.g. 4 or 500m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, e.g. 8Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Size::Small, ("2", "4Gi", "50Gi", 50))]
    #[case(Size::Medium, ("4", "8Gi", "100Gi", 200))]
    #[case(Size::Large, ("16", "64Gi", "500Gi", 1000))]
    fn a_size_stands_for_these_figures(
        #[case] size: Size,
        #[case] figures: (&str, &str, &str, u32),
    ) {
        let SizeDefaults {
            cpu,
            memory,
            storage,
            max_connections,
        } = size.defaults();
        assert_eq!((cpu, memory, storage, max_connections), figures);
    }

    #[test]
    fn a_gateway_that_names_no_size_is_small() {
        assert_eq!(Size::default(), Size::Small);
    }
}
