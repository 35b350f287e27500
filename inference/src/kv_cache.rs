//! How large the attention cache is, and when it must grow. The memory itself belongs to the session.

use crate::model_dir::Architecture;

/// The smallest cache, in positions.
const SMALLEST: usize = 512;

/// Positions that are read, kept and written together.
pub(crate) const BLOCK: usize = 32;

/// The dimensions of a model's cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvShape {
    /// Transformer layers; each has one tensor for keys and one for values.
    pub layers: usize,
    /// Key and value heads.
    pub heads: usize,
    /// The size of each head.
    pub head_size: usize,
    /// The most positions that may ever be needed.
    pub context_length: usize,
    /// The bytes of a number: 4, or 2 on a GPU.
    pub number_bytes: usize,
}

impl KvShape {
    /// The cache of a decoder, for conversations of at most so many tokens.
    pub(crate) fn of(architecture: &Architecture, context_length: usize) -> Self {
        Self {
            layers: architecture.layers,
            heads: architecture.kv_heads,
            head_size: architecture.head_size,
            context_length,
            number_bytes: size_of::<f32>(),
        }
    }

    /// The capacity to allocate for `positions`: steps of two, so that growing is rare and little is wasted.
    ///
    /// The runtime's attention takes scratch memory in proportion to the capacity, so it is not the whole context.
    pub fn capacity_for(&self, positions: usize) -> usize {
        positions
            .next_power_of_two()
            .max(SMALLEST)
            .min(self.context_length)
    }

    /// The bytes of a cache of `capacity` positions.
    pub fn bytes(&self, capacity: usize) -> usize {
        self.values(capacity) * self.number_bytes
    }

    /// The numbers in a cache of `positions`.
    pub(crate) fn values(&self, positions: usize) -> usize {
        self.layers * 2 * self.heads * positions * self.head_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: KvShape = KvShape {
        layers: 30,
        heads: 3,
        head_size: 64,
        context_length: 3000,
        number_bytes: 4,
    };

    #[test]
    fn capacity_grows_in_steps_up_to_the_context() {
        assert_eq!(SHAPE.capacity_for(1), 512);
        assert_eq!(SHAPE.capacity_for(512), 512);
        assert_eq!(SHAPE.capacity_for(513), 1024);
        assert_eq!(SHAPE.capacity_for(2500), 3000);
    }

    #[test]
    fn a_context_below_the_smallest_step_is_respected() {
        assert_eq!(
            KvShape {
                context_length: 100,
                ..SHAPE
            }
            .capacity_for(7),
            100
        );
    }

    #[test]
    fn bytes_count_keys_and_values_of_all_layers() {
        assert_eq!(SHAPE.bytes(512), 30 * 2 * 3 * 512 * 64 * 4);
    }
}
