//! The memory of the attention cache.

use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session},
    value::Tensor,
};

use super::SessionError;
use crate::{device::Device, kv_cache::KvShape};

/// The attention cache, bound as the graph's past and as its present, so that no run copies it.
pub(super) struct Cache {
    pub(super) binding: IoBinding,
    pub(super) capacity: usize,
}

impl Cache {
    pub(super) fn new(
        session: &Session,
        shape: KvShape,
        capacity: usize,
        device: Device,
        logits: &mut Tensor<f32>,
    ) -> Result<Self, SessionError> {
        let mut allocate = || -> ort::Result<IoBinding> {
            let allocator = match device {
                Device::Cuda => {
                    let memory = MemoryInfo::new(
                        AllocationDevice::CUDA,
                        0,
                        AllocatorType::Device,
                        MemoryType::Default,
                    )?;
                    Allocator::new(session, memory)?
                }
                Device::Auto | Device::Cpu => Allocator::default(),
            };
            let mut binding = session.create_binding()?;
            for layer in 0..shape.layers {
                for part in ["key", "value"] {
                    let size = [1, shape.heads, capacity, shape.head_size];
                    let mut tensor = Tensor::<f32>::new(&allocator, size)?;
                    binding.bind_input(format!("past_key_values.{layer}.{part}"), &tensor)?;
                    binding.bind_output(format!("present.{layer}.{part}"), &mut tensor)?;
                }
            }
            binding.bind_output("logits", &mut *logits)?;
            Ok(binding)
        };
        let bytes = shape.bytes(capacity);
        let binding = allocate().map_err(|source| SessionError::Cache {
            bytes,
            positions: capacity,
            source,
        })?;
        Ok(Self { binding, capacity })
    }
}
