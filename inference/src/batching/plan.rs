//! How a batch is cut into runs. Pure.

use std::ops::Range;

/// What a run costs, in the time that a layer takes for one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Costs {
    /// Of a run, whatever is in it.
    pub(crate) run: f64,
    /// Of a place in padded rows, be there a token or padding.
    pub(crate) place: f64,
    /// Of a place, for each other place of its row: attention.
    pub(crate) attention: f64,
    /// Of a token, apart from its place.
    pub(crate) token: f64,
}

impl Costs {
    /// Those of an encoder that is `hidden_size` wide; `is_packed` where layers compute no padding.
    #[expect(clippy::cast_precision_loss, reason = "no layer is that wide")]
    pub(crate) fn of(hidden_size: usize, is_packed: bool) -> Self {
        // A layer multiplies a token by 12 x hidden² weights, and attention each pair of places by 2 x hidden.
        let attention = 1.0 / (6.0 * hidden_size as f64);
        let (place, token) = if is_packed { (0.1, 1.0) } else { (1.0, 0.0) };
        Self {
            run: 16.0,
            place,
            attention,
            token,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "batches have some thousand tokens"
    )]
    fn of_run(&self, rows: usize, longest: usize, tokens: usize) -> f64 {
        let places = (rows * longest) as f64;
        self.run
            + places * (self.place + self.attention * longest as f64)
            + self.token * tokens as f64
    }
}

/// The cheapest way to cut sequences, sorted by length, into runs. The longest run first.
pub(super) fn runs(lengths: &[usize], costs: &Costs) -> Vec<Range<usize>> {
    // best[n]: what the first n sequences cost, and where the last of their runs begins.
    let mut best = vec![(0.0, 0)];
    for end in 1..=lengths.len() {
        let longest = lengths[end - 1];
        let (mut cheapest, mut tokens) = ((f64::INFINITY, 0), 0);
        for start in (0..end).rev() {
            tokens += lengths[start];
            let cost = best[start].0 + costs.of_run(end - start, longest, tokens);
            if cost < cheapest.0 {
                cheapest = (cost, start);
            }
        }
        best.push(cheapest);
    }
    let mut runs = Vec::new();
    let mut end = lengths.len();
    while end > 0 {
        let start = best[end].1;
        runs.push(start..end);
        end = start;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lengths: &[usize], is_packed: bool) -> Vec<Vec<usize>> {
        runs(lengths, &Costs::of(384, is_packed))
            .into_iter()
            .map(|run| lengths[run].to_vec())
            .collect()
    }

    #[test]
    fn what_is_alike_runs_together_and_what_is_not_apart() {
        assert_eq!(cut(&[9, 10, 10], false), [[9, 10, 10]]);
        assert_eq!(
            cut(&[5, 5, 6, 200, 210], false),
            [vec![200, 210], vec![5, 5, 6]]
        );
        assert!(cut(&[], false).is_empty());
    }

    #[test]
    fn without_padding_in_layers_less_is_cut() {
        let lengths = [10, 14, 20, 30];
        assert_eq!(cut(&lengths, true).len(), 1);
        assert!(cut(&lengths, false).len() > 1);
    }

    #[test]
    fn every_sequence_runs_once() {
        let lengths: Vec<_> = (1..60).map(|index| index * index % 97 + 1).collect();
        let mut lengths = lengths;
        lengths.sort_unstable();
        let mut seen: Vec<_> = runs(&lengths, &Costs::of(64, false))
            .into_iter()
            .flatten()
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
    }
}
