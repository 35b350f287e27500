//! e^x of many numbers, which compilers make wide instructions of. The same bits on every processor.

/// e^x of a number that is not positive, to the last bit or two: 2^n times a polynomial, as in Cephes' `expf`.
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first of which has few bits: n times it is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const TERMS: [f32; 6] = [
        1.987_569_1e-4,
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ];
    // Added and taken away, it rounds to a whole number, whose lowest bits are then those of the sum.
    const ROUND: f32 = 12_582_912.0;
    // Below, the result would be no normal number.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let x = n.mul_add(-LN2[1], n.mul_add(-LN2[0], x));
    let sum = TERMS.iter().fold(0.0, |sum, term| sum * x + term);
    let sum = sum.mul_add(x * x, x + 1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    sum * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_e_are_exact_to_the_last_bits() {
        let mut worst: f64 = 0.0;
        for step in 0..87_000_u32 {
            let x = -(f64::from(step) / 1000.0);
            #[expect(clippy::cast_possible_truncation, reason = "the number under test")]
            let x = x as f32;
            let error = f64::from(exponential(x)) / f64::from(x).exp() - 1.0;
            worst = worst.max(error.abs());
        }
        assert!(worst < 3e-7, "{worst:e}");
        assert!(exponential(-1e30) < 1e-37);
        assert!((exponential(0.0) - 1.0).abs() < f32::EPSILON);
    }
}
