//! Numbers in memory that begins where a cache line does: the widest registers take twice as long for what lies across two.

use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

/// Zeros at first, which take no memory before they are used.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    values: Vec<f32>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub(super) fn new(length: usize) -> Self {
        let values = vec![0.0; length + LINE / size_of::<f32>()];
        let start = values.as_ptr().align_offset(LINE);
        Self {
            values,
            start,
            length,
        }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_line_and_has_its_length() {
        for length in [0, 1, 1000] {
            let mut numbers = Aligned::new(length);
            assert_eq!(numbers.as_ptr().align_offset(LINE), 0);
            numbers.fill(2.0);
            assert_eq!(numbers.len(), length);
        }
    }
}
