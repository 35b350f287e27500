//! Rotary embeddings: how far each pair of a head's values turns from one position to the next.

/// The frequencies of rotations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotation {
    /// Radians a position, one for every pair of values.
    pub(crate) frequencies: Vec<f64>,
}

/// How Llama 3 stretches rotations to longer contexts: slow ones wholly, fast ones not at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Llama3Scaling {
    pub(crate) factor: f64,
    pub(crate) low_frequency_factor: f64,
    pub(crate) high_frequency_factor: f64,
    /// The context of the training before the stretch.
    pub(crate) original_context: f64,
}

impl Rotation {
    /// The usual geometric series.
    #[expect(
        clippy::cast_precision_loss,
        reason = "heads have a few hundred values at most"
    )]
    pub(crate) fn new(base: f64, head_size: usize) -> Self {
        let frequency = |pair: usize| 1.0 / base.powf((2 * pair) as f64 / head_size as f64);
        Self {
            frequencies: (0..head_size / 2).map(frequency).collect(),
        }
    }

    /// Turns everything slower by the same factor.
    #[must_use]
    pub(crate) fn slowed(mut self, factor: f64) -> Self {
        for frequency in &mut self.frequencies {
            *frequency /= factor;
        }
        self
    }

    /// Turns every pair slower by a factor of its own.
    pub(crate) fn slow_each(&mut self, factors: &[f32]) {
        for (frequency, &factor) in self.frequencies.iter_mut().zip(factors) {
            *frequency /= f64::from(factor);
        }
    }

    /// Stretches as Llama 3 does.
    #[must_use]
    pub(crate) fn stretched(mut self, scaling: Llama3Scaling) -> Self {
        let Llama3Scaling {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } = scaling;
        for frequency in &mut self.frequencies {
            let turns = original_context * *frequency / std::f64::consts::TAU;
            *frequency = if turns > high {
                *frequency
            } else if turns < low {
                *frequency / factor
            } else {
                let smooth = (turns - low) / (high - low);
                (1.0 - smooth) * *frequency / factor + smooth * *frequency
            };
        }
        self
    }

    /// A function of every angle, position by position.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the table holds 32 bit floats; angles are computed wider so that large positions stay exact"
    )]
    pub(crate) fn table(
        &self,
        positions: usize,
        function: fn(f64) -> f64,
    ) -> impl Iterator<Item = f32> {
        (0..positions).flat_map(move |position| {
            self.frequencies
                .iter()
                .map(move |frequency| function(position as f64 * frequency) as f32)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_from_one() {
        assert_eq!(Rotation::new(10_000.0, 4).frequencies, [1.0, 0.01]);
        assert_eq!(
            Rotation::new(10_000.0, 4).slowed(8.0).frequencies,
            [0.125, 0.00125]
        );
    }

    #[test]
    fn only_slow_rotations_are_stretched() {
        let scaling = Llama3Scaling {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 8192.0,
        };
        let plain = Rotation::new(500_000.0, 128);
        let stretched = plain.clone().stretched(scaling);
        let ratios: Vec<f64> = plain
            .frequencies
            .iter()
            .zip(&stretched.frequencies)
            .map(|(plain, stretched)| plain / stretched)
            .collect();
        assert_eq!((ratios[0], ratios[63]), (1.0, 8.0));
        assert!(ratios.is_sorted());
        assert!(ratios.iter().any(|&ratio| ratio > 1.1 && ratio < 7.9));
    }
}
