//! How likely a model found a token, and what it found more likely.

/// Of one token of an answer, by the model's own distribution: before temperature, penalties, biases and grammars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogProbabilities {
    /// Of the token.
    pub(crate) chosen: f32,
    /// The most likely tokens, falling.
    pub(crate) top: Vec<(u32, f32)>,
}

/// Of a token among these logits, with so many of the most likely.
pub(super) fn log_probabilities(logits: &[f32], token: u32, most: usize) -> LogProbabilities {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let of_number = logits.iter().filter(|logit| !logit.is_nan());
    let total: f64 = of_number
        .map(|&logit| f64::from(logit - largest).exp())
        .sum();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a result in single precision"
    )]
    let total = total.ln() as f32;
    let of = |token: u32| {
        let logit = logits.get(token as usize).copied();
        logit.unwrap_or(f32::NEG_INFINITY) - largest - total
    };
    let top = most_likely(logits, most);
    LogProbabilities {
        chosen: of(token),
        top: top.into_iter().map(|token| (token, of(token))).collect(),
    }
}

/// Tokens with the largest logits, falling; smaller tokens first among equals.
fn most_likely(logits: &[f32], most: usize) -> Vec<u32> {
    if most == 0 {
        return Vec::new();
    }
    let by_logit = |left: &u32, right: &u32| {
        let (left_logit, right_logit) = (logits[*left as usize], logits[*right as usize]);
        right_logit.total_cmp(&left_logit).then(left.cmp(right))
    };
    let mut tokens: Vec<u32> = (0..)
        .zip(logits)
        .filter(|(_, logit)| !logit.is_nan())
        .map(|(token, _)| token)
        .collect();
    if most < tokens.len() {
        tokens.select_nth_unstable_by(most - 1, by_logit);
        tokens.truncate(most);
    }
    tokens.sort_unstable_by(by_logit);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f32, right: f32) -> bool {
        (left - right).abs() < 1e-5
    }

    #[test]
    fn they_are_the_logarithms_of_the_distribution() {
        let logits = [0.2_f32.ln(), 0.5_f32.ln(), f32::NAN, 0.3_f32.ln()];
        let told = log_probabilities(&logits.map(|logit| logit + 7.0), 0, 2);
        assert!(close(told.chosen, 0.2_f32.ln()), "{told:?}");
        let (tokens, values): (Vec<u32>, Vec<f32>) = told.top.into_iter().unzip();
        assert_eq!(tokens, [1, 3]);
        assert!(close(values[0], 0.5_f32.ln()) && close(values[1], 0.3_f32.ln()));
    }

    #[test]
    fn more_may_be_asked_for_than_there_are_tokens() {
        assert_eq!(log_probabilities(&[1.0, 1.0], 1, 20).top.len(), 2);
        assert!(log_probabilities(&[1.0, 1.0], 1, 0).top.is_empty());
    }
}
