//! Samples of two competitors, taken in turn, and the table they make.

use std::fmt::Write as _;

/// One figure of both sides, a pair for each round.
pub(super) struct Samples {
    /// What is measured, with its unit.
    pub(super) title: &'static str,
    /// Ours and the peer's, round by round.
    pub(super) pairs: Vec<(f64, f64)>,
}

impl Samples {
    pub(super) fn new(title: &'static str) -> Self {
        Self {
            title,
            pairs: Vec::new(),
        }
    }
}

/// A table of medians. The ratio is the median of the rounds' ratios: both sides of a round saw the same machine.
pub(super) fn table(peer: &str, figures: &[Samples]) -> String {
    let mut text = format!("{:<28} {:>10} {:>22} {:>7}\n", "", "ours", peer, "ratio");
    for Samples { title, pairs } in figures {
        let ours = median(pairs.iter().map(|(ours, _)| *ours));
        let theirs = median(pairs.iter().map(|(_, theirs)| *theirs));
        let ratio = median(pairs.iter().map(|(ours, theirs)| ours / theirs));
        let _ = writeln!(
            text,
            "{title:<28} {ours:>10.1} {theirs:>22.1} {ratio:>6.2}x"
        );
    }
    text
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn the_ratio_is_taken_round_by_round() {
        let figure = Samples {
            title: "speed",
            pairs: vec![(10.0, 5.0), (20.0, 10.0), (1.0, 1.0)],
        };
        let line = table("peer", &[figure]);
        assert!(line.trim_end().ends_with("2.00x"), "{line}");
    }
}
