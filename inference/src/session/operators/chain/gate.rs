//! The gate of a feed-forward network.

use archmage::prelude::*;

use crate::exponential::exponential;

/// `up` times SiLU of `gate` for tokens whose rows are `gate` and `up`, `width` numbers each.
#[cfg(target_arch = "x86_64")]
#[arcane(import_intrinsics)]
pub(super) fn gate(_: X64V4xToken, width: usize, rows: &[f32], into: &mut [f32]) {
    for (row, into) in rows
        .chunks_exact(2 * width)
        .zip(into.chunks_exact_mut(width))
    {
        let (gate, up) = row.split_at(width);
        for ((into, gate), up) in into.iter_mut().zip(gate).zip(up) {
            let power = exponential(-gate.abs());
            let share = if *gate < 0.0 { power } else { 1.0 };
            *into = gate * (share / (1.0 + power)) * up;
        }
    }
}

/// Elsewhere nobody has the token.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn gate(_: X64V4xToken, _: usize, _: &[f32], _: &mut [f32]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_gated_by_its_own_half() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let width = 37;
        let numbers = (0..2 * 2 * 37_u8).map(|number| f32::from(number) / 5.0 - 12.0);
        let rows: Vec<f32> = numbers.collect();
        let mut into = vec![0.0; 2 * width];
        gate(processor, width, &rows, &mut into);
        for (token, into) in into.chunks(width).enumerate() {
            for (place, value) in into.iter().enumerate() {
                let number = |place: usize| f64::from(rows[token * 2 * width + place]);
                let gate = number(place);
                let expected = gate / (1.0 + (-gate).exp()) * number(width + place);
                let error = (f64::from(*value) - expected).abs();
                assert!(error <= 1e-6 * (1.0 + expected.abs()), "{value} {expected}");
            }
        }
    }

    #[test]
    fn extremes_give_what_they_are_near_to() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let of = |gate: f32| {
            let mut into = [0.0];
            super::gate(processor, 1, &[gate, 2.0], &mut into);
            into[0]
        };
        assert_eq!(of(1e30).to_bits(), 2e30_f32.to_bits());
        assert!(of(-200.0).abs() < 1e-30);
        assert_eq!(of(0.0).to_bits(), 0.0_f32.to_bits());
        assert!(of(f32::NAN).is_nan());
    }
}
