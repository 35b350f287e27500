//! Positions in queries and keys: rotary embeddings, as `GroupQueryAttention` takes them.

/// Cosines and sines of each position, half as many as a head's rotated numbers.
pub(super) struct Rotation<'a> {
    cosines: &'a [f32],
    sines: &'a [f32],
    /// Pairs of numbers that are rotated.
    pairs: usize,
}

impl<'a> Rotation<'a> {
    /// None where they do not belong together.
    pub(super) fn new((shape, cosines): (&[i64], &'a [f32]), sines: &'a [f32]) -> Option<Self> {
        let pairs = usize::try_from(*shape.last()?).ok()?;
        let is_table = pairs > 0 && cosines.len().is_multiple_of(pairs);
        (is_table && cosines.len() == sines.len()).then_some(Self {
            cosines,
            sines,
            pairs,
        })
    }

    /// Half of the numbers of a head that are rotated.
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    /// The positions that there are.
    pub(super) fn positions(&self) -> usize {
        self.cosines.len() / self.pairs
    }

    /// Turns a head's first half against its second; what is beyond the rotated part stays.
    pub(super) fn rotate(&self, head: &mut [f32], position: usize) {
        let row = position * self.pairs..(position + 1) * self.pairs;
        let (cosines, sines) = (&self.cosines[row.clone()], &self.sines[row]);
        let (firsts, rest) = head.split_at_mut(self.pairs);
        let pairs = firsts.iter_mut().zip(rest);
        for ((first, second), (cosine, sine)) in pairs.zip(cosines.iter().zip(sines)) {
            (*first, *second) = (
                *first * cosine - *second * sine,
                *second * cosine + *first * sine,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_turn_against_each_other_and_the_rest_stays() {
        let (cosines, sines) = ([1.0, 1.0, 0.0, 0.6], [0.0, 0.0, 1.0, 0.8]);
        let rotation = Rotation::new((&[2, 2], &cosines), &sines).expect("a table");
        assert_eq!(rotation.positions(), 2);
        let rotated = |position| {
            let mut head = [1.0, 2.0, 3.0, 4.0, 5.0];
            rotation.rotate(&mut head, position);
            head.map(|value: f32| (value * 100.0).round() / 100.0)
        };
        let head = rotated(0);
        assert_eq!(format!("{head:?}"), "[1.0, 2.0, 3.0, 4.0, 5.0]");
        let head = rotated(1);
        assert_eq!(format!("{head:?}"), "[-3.0, -2.0, 1.0, 4.0, 5.0]");
        assert!(Rotation::new((&[2, 2], &cosines), &sines[1..]).is_none());
    }
}
