//! From the vectors of tokens to the vector of a text. Pure.

use serde::{Deserialize, Serialize};

/// Which tokens' vectors make the text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first one's.
    Cls,
}

impl Pooling {
    /// The text's vector of `rows`, which have `width` numbers each; empty without a row.
    pub(crate) fn pool(self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut rows = rows.chunks_exact(width.max(1));
        let Some(first) = rows.next() else {
            return Vec::new();
        };
        let mut sum = first.to_vec();
        if self == Self::Mean {
            let mut count = 1.0_f32;
            for row in rows {
                count += 1.0;
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            for value in &mut sum {
                *value /= count;
            }
        }
        sum
    }
}

/// Gives a vector the length 1; one without any length stays.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_counts_every_row_and_cls_the_first() {
        let rows = [1.0, 2.0, 3.0, 6.0];
        assert_eq!(Pooling::Mean.pool(&rows, 2), [2.0, 4.0]);
        assert_eq!(Pooling::Cls.pool(&rows, 2), [1.0, 2.0]);
        assert_eq!(Pooling::Mean.pool(&[], 2), [0.0; 0]);
    }

    #[test]
    fn a_normalized_vector_has_the_length_1() {
        let mut vector = vec![3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, vec![0.6, 0.8]);
        let mut nothing = vec![0.0; 2];
        normalize(&mut nothing);
        assert_eq!(nothing, vec![0.0; 2]);
    }
}
